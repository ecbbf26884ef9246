//go:build linux

package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockBase and clockOffset tie Go's monotonic clock, which is read without a
// system call, to CLOCK_MONOTONIC, which all processes of the machine share.
var clockBase, clockOffset = calibrate()

// calibrate takes the tightest of a few pairs of readings: a preemption
// between the two clocks would shift this process against the others.
func calibrate() (time.Time, int64) {
	var base time.Time
	var offset int64
	best := time.Duration(1<<63 - 1)
	for range 16 {
		before := time.Now()
		at := monotonic()
		if took := time.Since(before); took < best {
			best, base, offset = took, before, at-int64(took/2)
		}
	}
	return base, offset
}

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("CLOCK_MONOTONIC: " + err.Error()) // every Linux has it
	}
	return ts.Nano()
}

// Now is CLOCK_MONOTONIC in nanoseconds: comparable between the processes of a machine.
func Now() int64 { return clockOffset + int64(time.Since(clockBase)) }
