package monitor

import (
	"encoding/json"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"icomet/internal/version"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// Report is the answer of GET /stats. Counters count from the start.
type Report struct {
	Version     string  `json:"version"`
	Uptime      float64 `json:"uptime_seconds"`
	Draining    bool    `json:"draining"`
	Connections struct {
		Front    int64            `json:"front"`
		Admin    int64            `json:"admin"`
		Limit    int64            `json:"limit"`
		ByKind   map[string]int64 `json:"subscribers_by_transport"`
		Accepted uint64           `json:"accepted_total"`

		AcceptFailures uint64 `json:"accept_failures_total"`
	} `json:"connections"`
	Channels        int                  `json:"channels"`
	Subscribers     int                  `json:"subscribers"`
	Requests        uint64               `json:"requests_total"`
	Publishes       uint64               `json:"publishes_total"`
	Broadcasts      uint64               `json:"broadcasts_total"`
	Deliveries      uint64               `json:"deliveries_total"`
	Replayed        uint64               `json:"replayed_total"`
	Heartbeats      uint64               `json:"heartbeats_total"`
	BytesIn         uint64               `json:"bytes_in_total"`
	BytesOut        uint64               `json:"bytes_out_total"`
	PresenceDropped uint64               `json:"presence_dropped_total"`
	LogFailures     uint64               `json:"log_failures_total"`
	Panics          uint64               `json:"panics_total"`
	Closed          map[string]uint64    `json:"closed_total_by_reason"`
	Refused         map[string]uint64    `json:"refused_total_by_reason"`
	Loops           []loopReport         `json:"loops"`
	Engine          any                  `json:"engine,omitempty"`
	TLS             map[string]tlsReport `json:"tls,omitempty"` // by role
	Runtime         runtimeReport        `json:"runtime"`
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

// HandleStats adds up what the loops have counted.
func (m *Monitor) HandleStats(c *reactor.Conn, r *reactor.Request) {
	sendJSON(c, r, m.Report())
}

// sendJSON answers with v, in the request's callback if there is one.
func sendJSON(c *reactor.Conn, r *reactor.Request, v any) {
	callback, ok := c.Callback(r)
	if !ok {
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		c.Refuse(r, 500, err.Error())
		return
	}
	c.JSON(r, callback, append(text, '\n'))
}

func (m *Monitor) Report() *Report {
	out := &Report{
		Version: version.Release, Uptime: time.Since(m.reactor.Started()).Seconds(), Draining: m.reactor.Leaving(),
		Channels: m.hub.Channels(), Subscribers: m.hub.Subscribers(),
		PresenceDropped: m.hub.PresenceDropped(), Panics: m.reactor.Panics(),
		Closed: make(map[string]uint64), Refused: make(map[string]uint64),
		Runtime: readRuntime(), Engine: m.engine.Status(), TLS: m.reportTLS(),
	}
	if m.logFailures != nil {
		out.LogFailures = m.logFailures()
	}
	m.memory.report(&out.Runtime)
	_, out.Connections.Limit = m.reactor.Connections()
	out.Connections.AcceptFailures = m.reactor.AcceptFailures()
	out.Connections.ByKind = make(map[string]int64)
	for _, c := range m.reactor.Counters() {
		out.addLoop(c)
	}
	return out
}

func (out *Report) addLoop(s *reactor.Counters) {
	out.Connections.Front += s.Front.Load()
	out.Connections.Admin += s.Admin.Load()
	out.Connections.Accepted += s.Accepted.Load()
	for t := wire.TransportPoll; t < wire.TransportKinds; t++ {
		out.Connections.ByKind[t.String()] += s.Subscribers[t].Load()
	}
	out.Requests += s.Requests.Load()
	out.Publishes += s.Publishes.Load()
	out.Broadcasts += s.Broadcasts.Load()
	out.Deliveries += s.Deliveries.Load()
	out.Replayed += s.Replayed.Load()
	out.Heartbeats += s.Heartbeats.Load()
	out.BytesIn += s.BytesIn.Load()
	out.BytesOut += s.BytesOut.Load()
	for r := range reactor.ReasonCount {
		out.Closed[r.String()] += s.ClosedBy[r].Load()
	}
	for status := range s.RefusedStatus {
		if n := s.RefusedStatus[status].Load(); n > 0 {
			out.Refused["http_"+strconv.Itoa(status)] += uint64(n)
		}
	}
	out.Refused["at_accept"] += s.RefusedAtOpen.Load()
	out.Refused["token"] += s.TokenErrors.Load()
	out.Refused["command"] += s.BadCommands.Load()
	out.Refused["too_many_channels"] += s.TooManyCh.Load()
	out.Refused["too_many_subscribers"] += s.TooManySu.Load()
	out.Refused["per_ip"] += s.PerIP.Load()
	out.Refused["connection_limit"] += s.OverCap.Load()
	out.Refused["memory"] += s.NoMemory.Load()
	out.Loops = append(out.Loops, loopReport{
		Queued: s.Queued.Load(), Deliveries: s.Deliveries.Load(),
		LagMillis: float64(s.LagLast.Load()) / 1e6, LagMax: float64(s.LagMax.Load()) / 1e6,
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
