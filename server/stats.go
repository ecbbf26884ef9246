package server

import (
	"encoding/json"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"icomet/channel"
)

// loopStats is what one loop counts. The loop alone writes, anybody reads.
type loopStats struct {
	requests, publishes, broadcasts   atomic.Uint64
	deliveries, replayed, heartbeats  atomic.Uint64
	bytesIn, bytesOut                 atomic.Uint64
	held                              atomic.Uint64 // bytes queued for slow readers, and given up with them (settleMemory)
	accepted, refusedAtOpen           atomic.Uint64
	front, admin                      atomic.Int64
	subscribers                       [transportCount]atomic.Int64
	closedBy                          [reasonCount]atomic.Uint64
	refusedStatus                     [600]atomic.Uint32
	tokenErrors, tooManyCh, tooManySu atomic.Uint64
	perIP, noMemory                   atomic.Uint64
	lagLast, lagMax                   atomic.Int64 // ns from a tick's post to its run
	worstLag                          lagWatch
	toWrite                           latency
}

// ticked notes that the loop runs a tick, at now (since the start), lag after its post.
func (s *loopStats) ticked(now, lag time.Duration) {
	s.lagLast.Store(int64(lag))
	s.lagMax.Store(max(s.lagMax.Load(), int64(lag)))
	s.worstLag.add(now, lag)
}

func (s *loopStats) subscribed(t transport, n int64) { s.subscribers[t].Add(n) }

// frontSubscribers counts those of every transport of the front port.
func (s *loopStats) frontSubscribers() (n int64) {
	for t := transportPoll; t < transportPresence; t++ {
		n += s.subscribers[t].Load()
	}
	return n
}

// refused counts an error answer by its status.
func (s *loopStats) refused(status int) { s.refusedStatus[status].Add(1) }

// refusedInBand counts a subscriber's refusal that goes out with status 200.
func (s *loopStats) refusedInBand(err error) {
	switch err {
	case channel.ErrToken:
		s.tokenErrors.Add(1)
	case channel.ErrTooManyChannels:
		s.tooManyCh.Add(1)
	case channel.ErrMemory:
		s.noMemory.Add(1)
	case errPerIP:
		s.perIP.Add(1)
	default:
		s.tooManySu.Add(1)
	}
}

func (s *loopStats) opened(c *conn) {
	s.accepted.Add(1)
	s.role(c).Add(1)
}

func (s *loopStats) closed(c *conn) {
	s.role(c).Add(-1)
	s.closedBy[c.reason].Add(1)
}

func (s *loopStats) role(c *conn) *atomic.Int64 {
	if c.has(flagAdmin) {
		return &s.admin
	}
	return &s.front
}

// statsReport is the answer of GET /stats. Counters count from the start.
type statsReport struct {
	Version     string  `json:"version"`
	Uptime      float64 `json:"uptime_seconds"`
	Draining    bool    `json:"draining"`
	Connections struct {
		Front    int64            `json:"front"`
		Admin    int64            `json:"admin"`
		Limit    int64            `json:"limit"`
		ByKind   map[string]int64 `json:"subscribers_by_transport"`
		Accepted uint64           `json:"accepted_total"`
	} `json:"connections"`
	Channels        int               `json:"channels"`
	Subscribers     int               `json:"subscribers"`
	Requests        uint64            `json:"requests_total"`
	Publishes       uint64            `json:"publishes_total"`
	Broadcasts      uint64            `json:"broadcasts_total"`
	Deliveries      uint64            `json:"deliveries_total"`
	Replayed        uint64            `json:"replayed_total"`
	Heartbeats      uint64            `json:"heartbeats_total"`
	BytesIn         uint64            `json:"bytes_in_total"`
	BytesOut        uint64            `json:"bytes_out_total"`
	PresenceDropped uint64            `json:"presence_dropped_total"`
	LogFailures     uint64            `json:"log_failures_total"`
	Panics          uint64            `json:"panics_total"`
	Closed          map[string]uint64 `json:"closed_total_by_reason"`
	Refused         map[string]uint64 `json:"refused_total_by_reason"`
	Loops           []loopReport      `json:"loops"`
	Engine          any               `json:"engine,omitempty"`
	Runtime         runtimeReport     `json:"runtime"`
}

type loopReport struct {
	Queued     int64   `json:"queued_messages"`
	Deliveries uint64  `json:"deliveries_total"`
	LagMillis  float64 `json:"lag_ms"`
	LagMax     float64 `json:"lag_max_ms"`
}

type runtimeReport struct {
	RSS        int64  `json:"rss_bytes"`
	Heap       uint64 `json:"heap_bytes"`
	Sys        uint64 `json:"go_sys_bytes"`
	Used       uint64 `json:"memory_used_bytes"`  // what memory_limit is compared with
	Limit      uint64 `json:"memory_limit_bytes"` // 0: none
	Refusing   bool   `json:"refusing_for_memory"`
	Goroutines int    `json:"goroutines"`
	GCCycles   int64  `json:"gc_cycles"`
	GCPauses   int64  `json:"gc_pause_ns_total"`
	GCPauseMax int64  `json:"gc_pause_ns_max_recent"`
}

// handleStats adds up what the loops have counted.
func (l *loop) handleStats(c *conn, r *request) {
	b, err := json.Marshal(l.srv.report())
	if err != nil {
		l.refuse(c, r, 500, err.Error())
		return
	}
	l.body = append(append(l.body[:0], b...), '\n')
	l.json(c, r, l.body)
}

func (s *Server) report() *statsReport {
	out := &statsReport{
		Version: Version, Uptime: time.Since(s.started).Seconds(), Draining: s.draining.Load(),
		Channels: s.hub.Channels(), Subscribers: s.hub.Subscribers(),
		PresenceDropped: s.hub.PresenceDropped(), Panics: s.panics.Load(),
		Closed: make(map[string]uint64), Refused: make(map[string]uint64),
		Runtime: readRuntime(), Engine: s.engine.Status(),
	}
	if s.logFailures != nil {
		out.LogFailures = s.logFailures()
	}
	s.memory.report(&out.Runtime)
	out.Connections.Limit = s.access.capacity.Load()
	out.Connections.ByKind = make(map[string]int64)
	for _, l := range s.loops {
		out.addLoop(l)
	}
	return out
}

func (out *statsReport) addLoop(l *loop) {
	s := &l.stats
	out.Connections.Front += s.front.Load()
	out.Connections.Admin += s.admin.Load()
	out.Connections.Accepted += s.accepted.Load()
	for t := transportPoll; t < transportCount; t++ {
		out.Connections.ByKind[t.String()] += s.subscribers[t].Load()
	}
	out.Requests += s.requests.Load()
	out.Publishes += s.publishes.Load()
	out.Broadcasts += s.broadcasts.Load()
	out.Deliveries += s.deliveries.Load()
	out.Replayed += s.replayed.Load()
	out.Heartbeats += s.heartbeats.Load()
	out.BytesIn += s.bytesIn.Load()
	out.BytesOut += s.bytesOut.Load()
	for r := range reasonCount {
		out.Closed[r.String()] += s.closedBy[r].Load()
	}
	for status := range s.refusedStatus {
		if n := s.refusedStatus[status].Load(); n > 0 {
			out.Refused["http_"+strconv.Itoa(status)] += uint64(n)
		}
	}
	out.Refused["at_accept"] += s.refusedAtOpen.Load()
	out.Refused["token"] += s.tokenErrors.Load()
	out.Refused["too_many_channels"] += s.tooManyCh.Load()
	out.Refused["too_many_subscribers"] += s.tooManySu.Load()
	out.Refused["per_ip"] += s.perIP.Load()
	out.Refused["memory"] += s.noMemory.Load()
	out.Loops = append(out.Loops, loopReport{
		Queued: l.queued.Load(), Deliveries: s.deliveries.Load(),
		LagMillis: float64(s.lagLast.Load()) / 1e6, LagMax: float64(s.lagMax.Load()) / 1e6,
	})
}

func readRuntime() runtimeReport {
	var m runtime.MemStats
	runtime.ReadMemStats(&m) // stops the world for some 20 µs
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	out := runtimeReport{
		RSS: readRSS(), Heap: m.HeapAlloc, Sys: m.Sys, Goroutines: runtime.NumGoroutine(),
		GCCycles: gc.NumGC, GCPauses: int64(gc.PauseTotal),
	}
	for _, p := range gc.Pause {
		out.GCPauseMax = max(out.GCPauseMax, int64(p))
	}
	return out
}

// readRSS is the resident set in bytes, 0 where /proc is not there.
func readRSS() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
