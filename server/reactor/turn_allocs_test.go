//go:build !race

package reactor_test

import (
	"strings"
	"testing"
)

// TestAllocsTurn: what a message costs in objects, and that it arrives. A publish makes the
// message itself; nothing is made for its delivery, nor for its records over TLS.
func TestAllocsTurn(t *testing.T) {
	limits := map[string]float64{"publish": 1, "unicast": 1, "unicast32": 32, "fanout1000": 1, "poll": 1}
	eachTurn(t, t.Run, func(t *testing.T, s turn) {
		s.warm()
		before := s.fake.Sent
		const rounds = 200
		got := testing.AllocsPerRun(rounds, s.round)
		if limit := limits[strings.TrimSuffix(t.Name()[len("TestAllocsTurn/"):], "TLS")]; got > limit {
			t.Errorf("a round makes %v objects, at most %v are allowed", got, limit)
		}
		if sent := s.fake.Sent - before; sent < rounds*s.per*100 {
			t.Errorf("%d bytes were sent in %d rounds of %d messages of 100 bytes", sent, rounds, s.per)
		}
	})
}
