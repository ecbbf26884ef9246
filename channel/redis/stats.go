package redis

import (
	"icomet/channel"
	"sync"
	"sync/atomic"
	"time"
)

// stats are counters since the start.
type stats struct {
	refused        atomic.Uint64           // calls answered with ErrUnavailable or ErrOverloaded
	refreshes      [whyCount]atomic.Uint64 // comparisons with Redis
	fetched        atomic.Uint64           // messages that came from history because pub/sub had not brought them
	gaps           atomic.Uint64           // times that messages a copy lacked were gone from the history
	gapSubscribers atomic.Uint64           // subscribers that were told of such a gap
	reconnects     atomic.Uint64           // broken pub/sub connections
	received       atomic.Uint64           // messages from pub/sub

	calls, pubsub roundTrips

	mu      sync.Mutex
	refusal map[string]uint64 // refusals by Redis, by the word of classOf
}

// count counts a refusal by Redis.
func (s *stats) count(word string) {
	s.mu.Lock()
	if s.refusal == nil {
		s.refusal = make(map[string]uint64)
	}
	s.refusal[word]++
	s.mu.Unlock()
}

// refreshed is the number of comparisons for any reason.
func (s *stats) refreshed() (n uint64) {
	for i := range s.refreshes {
		n += s.refreshes[i].Load()
	}
	return n
}

// status is the engine's part of /stats; see stats for the counters.
type status struct {
	Type           string       `json:"type"`
	Node           string       `json:"node"`
	Up             bool         `json:"up"`
	Copies         int          `json:"copies"`
	Refused        uint64       `json:"refused_total"`
	Refreshed      uint64       `json:"refreshed_total"`
	Fetched        uint64       `json:"fetched_total"`
	Gaps           uint64       `json:"gaps_total"`
	GapSubscribers uint64       `json:"gap_subscribers_total"`
	Reconnects     uint64       `json:"pubsub_reconnects_total"`
	Received       uint64       `json:"received_total"`
	Nodes          []nodeStatus `json:"nodes"`
}

// Status is what /stats shows of the engine.
func (e *Engine) Status() any {
	return &status{
		Type: "redis", Node: e.node, Up: e.up(), Copies: e.hub.Channels(),
		Refused: e.stats.refused.Load(), Refreshed: e.stats.refreshed(),
		Fetched: e.stats.fetched.Load(), Gaps: e.stats.gaps.Load(),
		GapSubscribers: e.stats.gapSubscribers.Load(), Reconnects: e.stats.reconnects.Load(),
		Received: e.stats.received.Load(),
		Nodes:    e.nodes.list(),
	}
}

// why is the reason for which a copy is compared with Redis.
type why int

const (
	whyReconnect why = iota // the pub/sub connection is new, or the partition has moved
	whyGap                  // an event does not continue the copy
	whyEpoch                // an event is of another life of the channel
	whyFreed                // Redis has freed the channel, and somebody subscribes
	whyBehind               // the check of quiet channels has found a difference
	whyGone                 // Redis does not have the channel
	whyParted               // Redis has other messages under the same seqs
	whyOverflow             // more events have come than are held
	whyUnknown              // Redis does not know this node any more
	whyAgain                // the copy has ended, and somebody waits for it
	whyCount
)

var whyNames = [whyCount]string{
	"reconnect", "gap", "epoch", "freed", "behind", "gone", "parted", "overflow", "unknown_node", "again",
}

// roundTripBounds are the upper ends of the buckets of a round trip.
var roundTripBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second,
}

// roundTrips is a histogram that any goroutine may add to.
type roundTrips struct {
	buckets [len(roundTripBounds) + 1]atomic.Uint64
	sum     atomic.Int64 // ns
}

func (h *roundTrips) add(d time.Duration) {
	i := 0
	for i < len(roundTripBounds) && d > roundTripBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *roundTrips) read() *channel.Histogram {
	out := &channel.Histogram{Buckets: make(map[float64]uint64, len(roundTripBounds)), Sum: float64(h.sum.Load()) / 1e9}
	for i := range h.buckets {
		if out.Count += h.buckets[i].Load(); i < len(roundTripBounds) {
			out.Buckets[roundTripBounds[i].Seconds()] = out.Count
		}
	}
	return out
}

var _ channel.Measurer = (*Engine)(nil)

// Measures are the engine's figures for /metrics.
func (e *Engine) Measures() []channel.Measure {
	s := &e.stats
	up := 0.0
	if e.up() {
		up = 1
	}
	out := []channel.Measure{
		{Name: "icomet_redis_up", Help: "1 while every master can be used: calls are answered, and pub/sub is connected.", N: up},
		{Name: "icomet_redis_nodes", Help: "Living nodes, as of this node's last heartbeat.", N: float64(len(e.nodes.list()))},
		{Name: "icomet_redis_copies", Help: "Channels of which this node has a copy.", N: float64(e.hub.Channels())},
	}
	for _, c := range []struct {
		name, help string
		n          *atomic.Uint64
	}{
		{"icomet_redis_reconnects_total", "Pub/sub connections that have ended.", &s.reconnects},
		{"icomet_redis_gaps_total", "Times that messages which a copy lacked were gone from the history.", &s.gaps},
		{"icomet_redis_gap_subscribers_total", "Subscribers that were told of such a gap.", &s.gapSubscribers},
		{"icomet_redis_fetched_total", "Messages that came from the history because pub/sub had not brought them.", &s.fetched},
		{"icomet_redis_received_total", "Messages from pub/sub.", &s.received},
		{"icomet_redis_unserved_total", "Calls answered with 503: Redis did not serve, or a queue was full.", &s.refused},
	} {
		out = append(out, channel.Measure{Name: c.name, Help: c.help, Counter: true, N: float64(c.n.Load())})
	}
	s.mu.Lock()
	for _, word := range refusalWords {
		out = append(out, channel.Measure{
			Name: "icomet_redis_errors_total", Help: "Errors of Redis, by the code it gives; no_answer: the connection failed, or it took too long.",
			Counter: true, Label: "reason", Value: word, N: float64(s.refusal[word]),
		})
	}
	s.mu.Unlock()
	for i := range s.refreshes {
		out = append(out, channel.Measure{
			Name: "icomet_redis_refreshes_total", Help: "Copies compared with Redis, by the reason.",
			Counter: true, Label: "reason", Value: whyNames[i], N: float64(s.refreshes[i].Load()),
		})
	}
	for queue, n := range e.queues() {
		out = append(out, channel.Measure{
			Name: "icomet_redis_queued", Help: "What waits for Redis on this node.", Label: "queue", Value: queue, N: float64(n),
		})
	}
	const help = "Round trips to Redis: of calls, and on the pub/sub connections."
	return append(out,
		channel.Measure{Name: "icomet_redis_round_trip_seconds", Help: help, Label: "connection", Value: "calls", Histogram: s.calls.read()},
		channel.Measure{Name: "icomet_redis_round_trip_seconds", Help: help, Label: "connection", Value: "pubsub", Histogram: s.pubsub.read()},
	)
}

// queues are the lengths of all queues.
func (e *Engine) queues() map[string]int {
	out := map[string]int{"broadcasts": len(e.broadcasts), "calls": 0, "fetches": 0, "comparisons": 0, "counts": 0}
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	for _, g := range e.groups {
		for _, l := range g.lanes {
			out["calls"] += len(l.queue)
		}
		g.mu.Lock()
		out["fetches"] += len(g.fetches) + len(g.flying)
		out["comparisons"] += len(g.stale)
		out["counts"] += len(g.counts)
		g.mu.Unlock()
	}
	return out
}
