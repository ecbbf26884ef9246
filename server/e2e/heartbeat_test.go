package e2e

import (
	"math"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestHeartbeatAfterSilence: the time counts per subscriber from the last thing sent
// to it: who gets messages more often gets no noop, who got the last one late gets
// its noop late, and a message does not count for the number.
func TestHeartbeatAfterSilence(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.polling_timeout=1"))
	quiet := map[string]*subscriber{}
	busy := map[string]*subscriber{}
	for _, transport := range []string{"stream", "sse", "iframe"} {
		quiet[transport] = s.open(transport, "cname=quiet&seq=1&noop=5")
		busy[transport] = s.open(transport, "cname=busy&seq=1")
	}
	polls := []*subscriber{s.open("poll", "cname=quiet&seq=1"), s.open("sub", "cname=quiet&seq=1")}
	start := time.Now()
	// The pace of the publisher, not a wait for anything: 0.3 s to 1.2 s.
	pace := time.NewTicker(300 * time.Millisecond)
	defer pace.Stop()
	last := start
	for seq := int64(1); seq <= 4; seq++ {
		last = <-pace.C
		s.call("/push?cname=busy&content=x")
		for _, sub := range busy {
			sub.want("data", "busy", seq, "x")
		}
	}
	for _, sub := range busy {
		sub.want("noop", "busy", 0, "")
		silent(t, "busy "+sub.transport, last)
	}
	for _, sub := range quiet {
		sub.want("noop", "quiet", 5, "")
		sub.want("noop", "quiet", 6, "")
	}
	for _, sub := range polls {
		sub.want("noop", "quiet", 0, "")
	}
	if n := time.Since(start); n > 4*time.Second+servertest.Lateness {
		t.Errorf("this took %v", n)
	}
}

// TestHeartbeatTime: the first and the later ones come a polling_timeout apart.
func TestHeartbeatTime(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.polling_timeout=1"))
	start := time.Now()
	sub, poll := s.open("stream", "cname=a&seq=1"), s.open("sub", "cname=a&seq=1&noop=9223372036854775806")
	sub.want("noop", "a", 0, "")
	silent(t, "stream", start)
	poll.want("noop", "a", 9223372036854775806, "")
	silent(t, "poll", start)
	start = time.Now()
	poll.get("/sub?cname=a&seq=1")
	sub.want("noop", "a", 1, "")
	silent(t, "stream again", start)
	poll.want("noop", "a", 0, "")
	silent(t, "poll again", start)
}

// TestHeartbeatNumberEnds: behind the largest number there is none.
func TestHeartbeatNumberEnds(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.polling_timeout=1"))
	sub := s.open("stream", "cname=a&seq=1&noop=9223372036854775806")
	for _, number := range []int64{math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64} {
		sub.want("noop", "a", number, "")
	}
}

// silent checks that what has just come ended a silence of one second since from, and
// came soon after it. A busy server goes by the clock of its last tick, so
// that it may be early by one, of 100 ms.
func silent(t *testing.T, about string, from time.Time) {
	t.Helper()
	if took := time.Since(from); took < 850*time.Millisecond || took > time.Second+servertest.Lateness {
		t.Errorf("%s: a noop after %v", about, took)
	}
}
