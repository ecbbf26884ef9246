//go:build linux

package load

import (
	"encoding/binary"
	"testing"
	"time"
	"unsafe"

	"icomet/bench/scenario"
)

func TestShare(t *testing.T) {
	for n := range 40 {
		for procs := 1; procs < 9; procs++ {
			sum := 0
			for i := range procs {
				want := 0
				for k := i; k < n; k += procs {
					want++
				}
				if got := share(n, i, procs); got != want {
					t.Fatalf("share(%d, %d, %d) is %d, want %d", n, i, procs, got, want)
				}
				sum += want
			}
			if sum != n {
				t.Fatalf("%d of %d shared out", sum, n)
			}
		}
	}
}

// TestSubscriberIsSmall: 19,000 of them are part of what the harness costs.
func TestSubscriberIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(subscriber{}); size > 32 {
		t.Errorf("a subscriber has %d bytes", size)
	}
}

func TestSourceAddresses(t *testing.T) {
	seen := map[uint32]int{}
	for n := uint32(0); n < 2*scenario.MaxSubscribers; n++ {
		a := sourceAddress(n)
		if a[0] != 127 || a[1] == 0 {
			t.Fatalf("connection %d comes from %v", n, a)
		}
		seen[binary.BigEndian.Uint32(a[:])]++
	}
	for a, n := range seen {
		if n > perSource {
			t.Fatalf("%d connections from %x", n, a)
		}
	}
}

func TestClockIsShared(t *testing.T) {
	before := monotonic()
	at := Now()
	after := monotonic()
	const slack = int64(50 * time.Microsecond) // of the calibration
	if at < before-slack || at > after+slack {
		t.Errorf("now is %d, CLOCK_MONOTONIC went from %d to %d", at, before, after)
	}
}
