//go:build linux

package procstat

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, in which /proc gives CPU times: 100 on every
// architecture that Go runs Linux on.
const ticksPerSecond = 100

// Processes are process ids whose figures are read and added up, together with those of
// their descendants (nginx has a master and workers). One that has ended counts as 0.
type Processes []int

// Of returns the processes with these ids, without those that are 0: not known.
func Of(pids ...int) (p Processes) {
	for _, pid := range pids {
		if pid != 0 {
			p = append(p, pid)
		}
	}
	return p
}

// family returns the processes and their descendants.
func (p Processes) family() []int {
	list := slices.Clone(p)
	for i := 0; i < len(list); i++ {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", list[i]))
		if err != nil {
			continue // it has ended meanwhile
		}
		for _, t := range tasks {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", list[i], t.Name()))
			if err != nil {
				continue
			}
			for _, field := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(field); err == nil {
					list = append(list, pid)
				}
			}
		}
	}
	return list
}

// CPU returns user and system time in seconds, in steps of 10 ms.
func (p Processes) CPU() float64 {
	ticks := int64(0)
	for _, pid := range p.family() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The command's name, in parentheses, may contain anything: count from its end.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, i := range []int{11, 12} { // utime, stime: fields 14 and 15 of proc(5)
			if i < len(fields) {
				n, _ := strconv.ParseInt(fields[i], 10, 64)
				ticks += n
			}
		}
	}
	return float64(ticks) / ticksPerSecond
}

// Memory returns VmRSS and its high-water mark in bytes.
func (p Processes) Memory() (rss, peak int64) {
	for _, pid := range p.family() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		rss += statusField(b, "VmRSS:")
		peak += statusField(b, "VmHWM:")
	}
	return rss, peak
}

func statusField(status []byte, name string) int64 {
	_, rest, ok := bytes.Cut(status, []byte(name))
	if !ok {
		return 0
	}
	fields := strings.Fields(string(rest[:min(len(rest), 64)]))
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(fields[0], 10, 64)
	return kb << 10
}

// Descriptors counts open files. It reads a directory with as many entries, so it is too
// slow for every sample.
func (p Processes) Descriptors() int {
	n := 0
	for _, pid := range p.family() {
		if d, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
			names, _ := d.Readdirnames(-1)
			d.Close()
			n += len(names)
		}
	}
	return n
}

// SelfCPU returns the CPU time of the calling process in seconds, without its children.
func SelfCPU() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// SelfRSS returns VmRSS of the calling process in bytes.
func SelfRSS() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	return statusField(b, "VmRSS:")
}
