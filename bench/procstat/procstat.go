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

// process reads the figures of a server, by process id. It may be of several processes
// (nodes), and each of them may have children (nginx has a master and workers): what
// they use is added up.
type Processes []int

// processOf is of those that are known, which are not 0.
func Of(pids ...int) (p Processes) {
	for _, pid := range pids {
		if pid != 0 {
			p = append(p, pid)
		}
	}
	return p
}

// family is the processes and their descendants.
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

// cpu is user and system time in seconds.
func (p Processes) CPU() float64 {
	ticks := int64(0)
	for _, pid := range p.family() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The command's name, in parentheses, may hold anything: count from its end.
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

// memory is VmRSS and its high-water mark in bytes.
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

// descriptors counts open files. It reads a directory of as many entries, so
// it is not for every tick.
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

// selfCPU is the CPU time of the calling process in seconds.
func SelfCPU() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func SelfRSS() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	return statusField(b, "VmRSS:")
}
