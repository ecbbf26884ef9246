package redis

import (
	"sync"
	"sync/atomic"
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
