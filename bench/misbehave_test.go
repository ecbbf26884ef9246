//go:build linux

package bench

import (
	"testing"
	"time"

	"icomet/bench/protocol"
	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/tally"
)

// only returns the counters of failures that are not 0.
func only(c tally.Counts) map[string]int64 {
	all := map[string]int64{"lost": c.Lost, "duplicated": c.Duplicated, "reordered": c.Reordered, "corrupt": c.Corrupt,
		"closed": c.Closed, "connect": c.ConnectFailed, "publish": c.PublishFailed}
	for k, v := range all {
		if v == 0 {
			delete(all, k)
		}
	}
	return all
}

// TestMisbehavingServer has a server do each thing that the harness is there to
// find. many marks counters of which only "more than 0" can be said.
func TestMisbehavingServer(t *testing.T) {
	t.Parallel()
	const many = -1
	tests := []struct {
		name      string
		fault     fault
		transport protocol.Transport
		rate      float64 // 0: closed loop
		want      map[string]int64
	}{
		{"well behaved", none, protocol.Stream, 0, nil},
		{"well behaved, open loop", none, protocol.Stream, 200, nil},
		{"well behaved sse", none, protocol.SSE, 0, nil},
		{"well behaved iframe", none, protocol.Iframe, 0, nil},
		{"well behaved poll", none, protocol.Poll, 0, nil},
		{"well behaved poll, open loop", none, protocol.Poll, 200, nil},
		{"drop, seen by the gap", dropMessage, protocol.Stream, 200, map[string]int64{"lost": 1}},
		{"drop, seen at the end", dropMessage, protocol.Stream, 0, map[string]int64{"lost": 1}},
		{"drop sse", dropMessage, protocol.SSE, 200, map[string]int64{"lost": 1}},
		{"drop iframe", dropMessage, protocol.Iframe, 200, map[string]int64{"lost": 1}},
		{"drop poll", dropMessage, protocol.Poll, 200, map[string]int64{"lost": 1}},
		{"drop and count on", dropAtRaw, protocol.Stream, 200, map[string]int64{"corrupt": many, "lost": 1}},
		{"double", doubleMessage, protocol.Stream, 0, map[string]int64{"duplicated": 1}},
		{"double poll", doubleMessage, protocol.Poll, 200, map[string]int64{"duplicated": many}},
		{"swap", swapMessages, protocol.Stream, 200, map[string]int64{"reordered": 1}},
		{"swap sse", swapMessages, protocol.SSE, 200, map[string]int64{"reordered": 1}},
		{"flip a byte", flipByte, protocol.Stream, 0, map[string]int64{"corrupt": 1}},
		{"other channel's message", otherChannel, protocol.Stream, 200, map[string]int64{"corrupt": 1}},
		{"bad chunk size", badChunk, protocol.Stream, 200, map[string]int64{"corrupt": 1, "lost": many}},
		{"bad end of chunk", badTrailer, protocol.Stream, 200, map[string]int64{"corrupt": 1, "lost": many}},
		{"wrong event id", wrongEventID, protocol.SSE, 200, map[string]int64{"corrupt": many, "lost": many}},
		{"connection closed", closeStream, protocol.Stream, 200, map[string]int64{"closed": 1, "lost": many}},
		{"response ended", endStream, protocol.Stream, 200, map[string]int64{"closed": 1, "lost": many}},
		{"channel closed", closeMessage, protocol.Stream, 200, map[string]int64{"closed": 1, "lost": many}},
		{"refused in band", refuseInBand, protocol.Stream, 200, map[string]int64{"closed": 1, "lost": many}},
		{"subscriber refused", refuseSubscriber, protocol.Stream, 200, map[string]int64{"connect": 1, "lost": many}},
		{"publish refused", refusePublish, protocol.Stream, 200, map[string]int64{"publish": 1}},
		{"publish answered wrongly", wrongAnswer, protocol.Stream, 200, map[string]int64{"publish": 1}},
		{"well behaved ws", none, protocol.WS, 0, nil},
		{"drop ws", dropMessage, protocol.WS, 200, map[string]int64{"lost": 1}},
		{"double ws", doubleMessage, protocol.WS, 0, map[string]int64{"duplicated": 1}},
		{"swap ws", swapMessages, protocol.WS, 200, map[string]int64{"reordered": 1}},
		{"flip a byte ws", flipByte, protocol.WS, 0, map[string]int64{"corrupt": 1}},
		{"masked frame", badChunk, protocol.WS, 200, map[string]int64{"corrupt": 1, "lost": many}},
		{"connection closed ws", closeStream, protocol.WS, 200, map[string]int64{"closed": 1, "lost": many}},
		{"close frame", endStream, protocol.WS, 200, map[string]int64{"closed": 1, "lost": many}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := scenario.Group{Name: "fanout", Subscribers: 5, Channels: 1, Publishers: 1, Depth: 1, Size: 100, Transport: test.transport, Rate: test.rate}
			s := scenario.Scenario{Name: "fanout", Groups: []scenario.Group{g}, Procs: 1, Concurrency: 1, // the first is subscribed first
				Drain: 5 * time.Second, Timeout: 20 * time.Second}
			sent := int64(faultAt) // some faults end the closed loop
			if test.rate > 0 {
				sent = 4 * faultAt
			}
			r := runUntil(300*time.Millisecond, func(d time.Duration) *report.Result {
				s.Duration = d
				return mustRun(t, s, startFake(t, &fake{fault: test.fault, transport: test.transport}))
			}, func(r *report.Result) bool { return r.Total.Sent >= sent })
			checkFaults(t, r, test.want, many)
		})
	}
}

// TestMisbehavingWithSeveralChannels: what goes wrong on one of a connection's channels is
// counted there, and nowhere else.
func TestMisbehavingWithSeveralChannels(t *testing.T) {
	t.Parallel()
	const many, channels = -1, 6
	for _, test := range []struct {
		name      string
		fault     fault
		transport protocol.Transport
		want      map[string]int64
	}{
		{"well behaved", none, protocol.Stream, nil},
		{"well behaved sse", none, protocol.SSE, nil},
		{"well behaved ws", none, protocol.WS, nil},
		{"drop", dropMessage, protocol.Stream, map[string]int64{"lost": 1}},
		{"drop ws", dropMessage, protocol.WS, map[string]int64{"lost": 1}},
		{"double", doubleMessage, protocol.WS, map[string]int64{"duplicated": 1}},
		{"swap", swapMessages, protocol.WS, map[string]int64{"reordered": 1}},
		{"flip a byte", flipByte, protocol.WS, map[string]int64{"corrupt": 1}},
		{"other channel's message", otherChannel, protocol.Stream, map[string]int64{"corrupt": 1, "lost": 1}},
		{"wrong event id", wrongEventID, protocol.SSE, map[string]int64{"corrupt": many}},
		{"connection closed", closeStream, protocol.WS, map[string]int64{"closed": 1, "lost": many}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := scenario.Group{Name: "multi", Subscribers: 5, Channels: channels, Each: 3, Publishers: 2, Depth: 4, Size: 100, Transport: test.transport, Rate: 500}
			s := scenario.Scenario{Name: "multi", Groups: []scenario.Group{g}, Procs: 1, Concurrency: 1, // the first is subscribed first
				Drain: 5 * time.Second, Timeout: 20 * time.Second}
			r := runUntil(300*time.Millisecond, func(d time.Duration) *report.Result {
				s.Duration = d
				return mustRun(t, s, startFake(t, &fake{fault: test.fault, transport: test.transport}))
			}, func(r *report.Result) bool { return r.Total.Sent >= 2*faultAt*channels })
			checkFaults(t, r, test.want, many)
		})
	}
}

func checkFaults(t *testing.T, r *report.Result, want map[string]int64, many int64) {
	t.Helper()
	got := only(r.Total)
	for k, n := range want {
		if got[k] != n && (n != many || got[k] == 0) {
			t.Errorf("%s is %d, want %d; all: %v", k, got[k], n, got)
		}
		delete(got, k)
	}
	if len(got) > 0 {
		t.Errorf("also counted %v, want %v only", got, want)
	}
	if (r.Failures > 0) != (len(want) > 0) {
		t.Errorf("%d failures, want %v", r.Failures, want)
	}
	if len(want) > 0 && r.FirstFailure == "" {
		t.Error("no reason given")
	}
	if r.Total.Deliveries < faultAt-1 || r.Total.Sent < faultAt {
		t.Errorf("only %d sent and %d delivered: the fault was not reached", r.Total.Sent, r.Total.Deliveries)
	}
}

// TestOpenLoopChargesStalls: while the server stalls, more messages become
// due; each is charged from when it was meant to be sent.
func TestOpenLoopChargesStalls(t *testing.T) {
	const stalled, rate = 400 * time.Millisecond, 100
	g := scenario.Group{Name: "fanout", Subscribers: 1, Channels: 1, Publishers: 1, Depth: 1, Size: 100, Rate: rate}
	s := scenario.Scenario{Name: "fanout", Groups: []scenario.Group{g}, Procs: 1, Concurrency: 1,
		Drain: 10 * time.Second, Timeout: 20 * time.Second}
	r := runUntil(time.Second, func(d time.Duration) *report.Result {
		s.Duration = d
		return mustRun(t, s, startFake(t, &fake{fault: stall, stallFor: stalled}))
	}, func(r *report.Result) bool { return r.Total.Answered >= rate/2 }) // those that were due in the stall among them
	if r.Failures != 0 {
		t.Fatal(r.Verdict())
	}
	h, err := tally.Merge(r.LatencyHistogram)
	if err != nil {
		t.Fatal(err)
	}
	// 40 messages became due in the stall: the later half of the stall is over
	// for 20 of them, which so waited more than 200 ms. One alone would be the
	// answer of a harness that only counts from the real time of sending.
	late := int64(0)
	for _, bar := range h.Distribution() {
		if bar.From > int64(stalled/2) {
			late += bar.Count
		}
	}
	if late < 15 {
		t.Errorf("%d messages took more than half of the stall, want about 20", late)
	}
}

// TestStalledClosedLoopEnds: a publish that is never answered must not hold
// the harness for ever.
func TestStalledClosedLoopEnds(t *testing.T) {
	t.Parallel()
	target := startFake(t, &fake{fault: dropAnswer})
	g := scenario.Group{Name: "fanout", Subscribers: 2, Channels: 1, Publishers: 1, Depth: 1, Size: 100}
	s := scenario.Scenario{Name: "fanout", Groups: []scenario.Group{g}, Procs: 1, Concurrency: 1,
		Duration: time.Minute, Drain: 1500 * time.Millisecond, Timeout: 20 * time.Second}
	began := time.Now()
	r := mustRun(t, s, target)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	if r.Total.PublishFailed != 1 {
		t.Errorf("publish failures %d, want 1", r.Total.PublishFailed)
	}
}

// TestSubscriberComesLater: one that is refused with Retry-After is tried again.
func TestSubscriberComesLater(t *testing.T) {
	t.Parallel()
	target := startFake(t, &fake{fault: refuseLater})
	g := scenario.Group{Name: "fanout", Subscribers: 10, Channels: 1, Publishers: 1, Depth: 1, Size: 100}
	s := scenario.Scenario{Name: "fanout", Groups: []scenario.Group{g}, Procs: 1, Concurrency: 4,
		Duration: 300 * time.Millisecond, Drain: 10 * time.Second, Timeout: 20 * time.Second}
	if c := mustRun(t, s, target).Total; c.Refused != refusals || c.Connected != 10 || c.Failures() != 0 {
		t.Errorf("%+v", c)
	}
}

// TestOverloadIsAskedAgain: a publish that is refused as overload is late, not lost; one
// whose channel has another on its way cannot be sent again.
func TestOverloadIsAskedAgain(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name            string
		channels        int
		rate            float64
		refused, failed int64
	}{
		{"closed loop", 4, 0, refusals, 0},
		{"open loop", 4, 200, refusals, 0},
		{"two of one channel under way", 1, 200, 0, refusals},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			g := scenario.Group{Name: "fanout", Subscribers: 8, Channels: k.channels, Publishers: 1, Depth: 4, Size: 100, Rate: k.rate}
			s := scenario.Scenario{Name: "fanout", Groups: []scenario.Group{g}, Procs: 1, Concurrency: 1,
				Drain: 5 * time.Second, Timeout: 20 * time.Second}
			c := runUntil(300*time.Millisecond, func(d time.Duration) *report.Result {
				s.Duration = d
				return mustRun(t, s, startFake(t, &fake{fault: refuseOverload}))
			}, func(r *report.Result) bool { return r.Total.Refused+r.Total.PublishFailed >= refusals }).Total
			if c.Refused != k.refused || c.PublishFailed != k.failed {
				t.Errorf("%d refused and %d not published, want %d and %d", c.Refused, c.PublishFailed, k.refused, k.failed)
			}
			if want := c.Sent * int64(g.Subscribers/k.channels); k.failed == 0 && (c.Failures() != 0 || c.Deliveries != want || c.Answered != c.Sent) {
				t.Errorf("%d deliveries, want %d; %+v", c.Deliveries, want, c)
			}
		})
	}
}
