package monitor

import (
	"encoding/json"
	"os"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"icomet/internal/version"
	"icomet/server/reactor"
	"icomet/server/wire"
)

const (
	// feedRows is how many rows, one a second, a new dashboard gets for its charts.
	feedRows = 600
	// maxFeeds bounds the dashboards.
	maxFeeds = 32
)

// feedHistory is what dashboards are told: a row of numbers a second, kept for a while,
// and with it the report of /stats while somebody watches.
type feedHistory struct {
	mu   sync.Mutex // a leaf lock
	rows [][]byte   // as JSON; the newest last

	// Of the ticking goroutine.
	second  uint32 // Tick of the last row
	lag     int64  // ns: the worst in this second
	samples []metrics.Sample
}

// feedColumns names the columns of a row; a counter for each reason of closing follows.
var feedColumns = []string{
	"time", "poll", "stream", "sse", "iframe", "websocket", "front", "admin", "channels", "subscribers",
	"queued", "lag", "rss", "used", "heap", "goroutines", "gc_cycles", "gc_cpu",
	"requests", "publishes", "deliveries", "replayed", "bytes_in", "bytes_out", "accepted",
}

// feedRuntime is where heap to gc_cpu come from.
var feedRuntime = []string{
	"/memory/classes/heap/objects:bytes", "/sched/goroutines:goroutines",
	"/gc/cycles/total:gc-cycles", "/cpu/classes/gc/total:cpu-seconds",
}

// feedTick runs every tick on the ticking goroutine, and tells the dashboards something
// once a second.
func (m *Monitor) feedTick(now uint32) {
	f := &m.feed
	for _, c := range m.reactor.Counters() {
		f.lag = max(f.lag, c.LagLast.Load())
	}
	if now-f.second < ticksASecond {
		return
	}
	f.second = now
	row := m.feedRow()
	f.lag = 0
	f.mu.Lock()
	if len(f.rows) == feedRows {
		copy(f.rows, f.rows[1:])
		f.rows = f.rows[:feedRows-1]
	}
	f.rows = append(f.rows, row)
	f.mu.Unlock()
	if m.reactor.Feed().Watching() == 0 {
		return
	}
	stats, err := json.Marshal(m.Report())
	if err != nil {
		m.log.Error("the dashboard's line cannot be made", "error", err)
		return
	}
	line := append([]byte(`data: {"row":`), row...)
	m.reactor.Feed().Send(append(append(append(line, `,"stats":`...), stats...), "}\n\n"...))
}

// feedRow reads the counters, in the order of the columns: a few loads a loop, and some
// microseconds of the runtime.
func (m *Monitor) feedRow() []byte {
	row := append(make([]byte, 0, 256), '[')
	row = strconv.AppendFloat(row, float64(time.Now().UnixMilli())/1e3, 'f', 3, 64)
	add := func(v float64) { row = strconv.AppendFloat(append(row, ','), v, 'f', -1, 64) }
	all := m.reactor.Counters()
	sum := func(of func(*reactor.Counters) int64) {
		n := int64(0)
		for _, c := range all {
			n += of(c)
		}
		add(float64(n))
	}
	for t := wire.TransportPoll; t < wire.TransportPresence; t++ {
		sum(func(c *reactor.Counters) int64 { return c.Subscribers[t].Load() })
	}
	sum(func(c *reactor.Counters) int64 { return c.Front.Load() })
	sum(func(c *reactor.Counters) int64 { return c.Admin.Load() })
	add(float64(m.hub.Channels()))
	add(float64(m.hub.Subscribers()))
	sum(func(c *reactor.Counters) int64 { return c.Queued.Load() })
	add(float64(m.feed.lag) / 1e9)
	add(float64(readRSS()))
	add(float64(m.memory.used.Load()))
	m.feed.readRuntime(add)
	for _, of := range []func(*reactor.Counters) *atomic.Uint64{
		func(c *reactor.Counters) *atomic.Uint64 { return &c.Requests },
		func(c *reactor.Counters) *atomic.Uint64 { return &c.Publishes },
		func(c *reactor.Counters) *atomic.Uint64 { return &c.Deliveries },
		func(c *reactor.Counters) *atomic.Uint64 { return &c.Replayed },
		func(c *reactor.Counters) *atomic.Uint64 { return &c.BytesIn },
		func(c *reactor.Counters) *atomic.Uint64 { return &c.BytesOut },
		func(c *reactor.Counters) *atomic.Uint64 { return &c.Accepted },
	} {
		sum(func(c *reactor.Counters) int64 { return int64(of(c).Load()) })
	}
	for r := range reactor.ReasonCount {
		sum(func(c *reactor.Counters) int64 { return int64(c.ClosedBy[r].Load()) })
	}
	return append(row, ']')
}

func (f *feedHistory) readRuntime(add func(float64)) {
	if f.samples == nil {
		f.samples = make([]metrics.Sample, len(feedRuntime))
		for i, name := range feedRuntime {
			f.samples[i].Name = name
		}
	}
	metrics.Read(f.samples)
	for i := range f.samples {
		if v := f.samples[i].Value; v.Kind() == metrics.KindFloat64 {
			add(v.Float64())
		} else {
			add(float64(v.Uint64()))
		}
	}
}

// HandleFeed opens a dashboard's stream: what it needs once, with the rows so far, then
// a line a second.
func (m *Monitor) HandleFeed(c *reactor.Conn, r *reactor.Request) {
	if !c.Follow(r, m.reactor.Feed(), maxFeeds, m.feedHello) {
		c.Refuse(r, 503, "there are "+strconv.Itoa(maxFeeds)+" dashboards open; close one")
	}
}

// feedHello is the first event.
func (m *Monitor) feedHello() []byte {
	host, _ := os.Hostname() // "" is shown as such
	build := version.Of()
	columns := append([]string(nil), feedColumns...)
	for r := range reactor.ReasonCount {
		columns = append(columns, "closed_"+r.String())
	}
	text, err := json.Marshal(map[string]any{
		"columns": columns, "version": version.Release, "go": build.Go, "gnet": build.Gnet, "revision": build.Commit, "date": build.Date, "host": host,
		"pid": os.Getpid(), "started": m.reactor.Started().Unix(), "loops": len(m.reactor.Counters()), "engine": m.config().Engine.Type,
		"front": m.reactor.FrontAddr().String(), "admin": m.reactor.AdminAddr().String(),
	})
	if err != nil {
		return nil // strings and numbers: there is none
	}
	out := append([]byte("event: hello\ndata: "), text[:len(text)-1]...)
	out = append(out, `,"rows":[`...)
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	for i, row := range m.feed.rows {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, row...)
	}
	return append(out, "]}\n\n"...)
}
