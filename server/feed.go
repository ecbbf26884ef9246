package server

import (
	"encoding/json"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"icomet/channel"
)

const (
	// pathFeed is the dashboard's own stream.
	pathFeed = "/dashboard/feed"
	// feedHistory is how many rows, one a second, a new dashboard gets for its charts.
	feedHistory = 600
	// maxFeeds bounds the dashboards.
	maxFeeds = 32
)

// dashboardFeed is what dashboards are told: a row of numbers a second, kept for a while, and
// with it the report of /stats while somebody watches.
type dashboardFeed struct {
	// key stands for the dashboards among a loop's subscribers. It is no channel of
	// the hub's: they are in no count of channels or subscribers.
	key      *channel.Channel
	watching atomic.Int64

	mu   sync.Mutex // a leaf lock
	rows [][]byte   // as JSON; the newest last

	tickedAt atomic.Uint32 // tick of the last run of the ticking goroutine

	// Of the ticking goroutine.
	second  uint32 // tick of the last row
	lag     int64  // ns: the worst in this second
	samples []metrics.Sample
}

func newFeed() *dashboardFeed { return &dashboardFeed{key: new(channel.Channel)} }

// feedColumns names the columns of a row; a counter for each reason of closing follows.
var feedColumns = []string{
	"time", "poll", "stream", "sse", "iframe", "front", "admin", "channels", "subscribers",
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
func (s *Server) feedTick(now uint32) {
	f := s.feed
	f.tickedAt.Store(now)
	for _, l := range s.loops {
		f.lag = max(f.lag, l.stats.lagLast.Load())
	}
	if now-f.second < ticksASecond {
		return
	}
	f.second = now
	row := s.feedRow()
	f.lag = 0
	f.mu.Lock()
	if len(f.rows) == feedHistory {
		copy(f.rows, f.rows[1:])
		f.rows = f.rows[:feedHistory-1]
	}
	f.rows = append(f.rows, row)
	f.mu.Unlock()
	s.lister.forget(time.Now())
	if f.watching.Load() == 0 {
		return
	}
	stats, err := json.Marshal(s.report())
	if err != nil {
		s.log.Error("the dashboard's line cannot be made", "error", err)
		return
	}
	line := append([]byte(`data: {"row":`), row...)
	line = append(append(append(line, `,"stats":`...), stats...), "}\n\n"...)
	for _, l := range s.loops {
		l.post(func() { l.sendFeed(line) })
	}
}

// feedRow reads the counters, in the order of the columns: a few loads a loop, and some
// microseconds of the runtime.
func (s *Server) feedRow() []byte {
	row := append(make([]byte, 0, 256), '[')
	row = strconv.AppendFloat(row, float64(time.Now().UnixMilli())/1e3, 'f', 3, 64)
	add := func(v float64) { row = strconv.AppendFloat(append(row, ','), v, 'f', -1, 64) }
	sum := func(of func(*loop) int64) {
		n := int64(0)
		for _, l := range s.loops {
			n += of(l)
		}
		add(float64(n))
	}
	for t := transportPoll; t < transportPresence; t++ {
		sum(func(l *loop) int64 { return l.stats.subscribers[t].Load() })
	}
	sum(func(l *loop) int64 { return l.stats.front.Load() })
	sum(func(l *loop) int64 { return l.stats.admin.Load() })
	add(float64(s.hub.Channels()))
	add(float64(s.hub.Subscribers()))
	sum(func(l *loop) int64 { return l.queued.Load() })
	add(float64(s.feed.lag) / 1e9)
	add(float64(readRSS()))
	add(float64(s.memory.used.Load()))
	s.feed.readRuntime(add)
	for _, of := range []func(*loopStats) *atomic.Uint64{
		func(st *loopStats) *atomic.Uint64 { return &st.requests },
		func(st *loopStats) *atomic.Uint64 { return &st.publishes },
		func(st *loopStats) *atomic.Uint64 { return &st.deliveries },
		func(st *loopStats) *atomic.Uint64 { return &st.replayed },
		func(st *loopStats) *atomic.Uint64 { return &st.bytesIn },
		func(st *loopStats) *atomic.Uint64 { return &st.bytesOut },
		func(st *loopStats) *atomic.Uint64 { return &st.accepted },
	} {
		sum(func(l *loop) int64 { return int64(of(&l.stats).Load()) })
	}
	for r := range reasonCount {
		sum(func(l *loop) int64 { return int64(l.stats.closedBy[r].Load()) })
	}
	return append(row, ']')
}

func (f *dashboardFeed) readRuntime(add func(float64)) {
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

// handleFeed opens a dashboard's stream: what it needs once, with the rows so far, then
// a line a second.
func (l *loop) handleFeed(c *conn, r *request) {
	f := l.srv.feed
	if f.watching.Add(1) > maxFeeds {
		f.watching.Add(-1)
		l.refuse(c, r, 503, "there are "+strconv.Itoa(maxFeeds)+" dashboards open; close one")
		return
	}
	l.out.B = l.appendOpenHead(l.out.B, c, r, transportDashboard)
	c.ch, c.transport = f.key, transportDashboard
	l.out.B = appendFeed(l.out.B, c, l.srv.feedHello())
	l.subscribe(c)
}

// appendFeed frames an event for c's response.
func appendFeed(dst []byte, c *conn, event []byte) []byte {
	if openForm(c.transport, c.has(flagHTTP10)).chunked() {
		return appendChunk(dst, event)
	}
	return append(dst, event...)
}

// sendFeed gives the line to this loop's dashboards. One that does not read is cut like
// any slow consumer.
func (l *loop) sendFeed(line []byte) {
	for c := l.subs.first(l.srv.feed.key); c != nil; {
		next := c.subNext // before the write: it may end c
		l.cur = c
		l.scratch = appendFeed(l.scratch[:0], c, line)
		c.send(l.scratch)
		c = next
	}
	l.cur = nil
}

// feedHello is the first event.
func (s *Server) feedHello() []byte {
	host, _ := os.Hostname() // "" is shown as such
	columns := append([]string(nil), feedColumns...)
	for r := range reasonCount {
		columns = append(columns, "closed_"+r.String())
	}
	text, err := json.Marshal(map[string]any{
		"columns": columns, "version": Version, "go": runtime.Version(), "revision": revision(), "host": host,
		"pid": os.Getpid(), "started": s.started.Unix(), "loops": len(s.loops), "engine": s.settings.Load().config.Engine.Type,
		"front": s.listen.front.String(), "admin": s.listen.admin.String(),
	})
	if err != nil {
		return nil // strings and numbers: there is none
	}
	out := append([]byte("event: hello\ndata: "), text[:len(text)-1]...)
	out = append(out, `,"rows":[`...)
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	for i, row := range s.feed.rows {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, row...)
	}
	return append(out, "]}\n\n"...)
}
