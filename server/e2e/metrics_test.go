package e2e

import (
	"compress/gzip"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"icomet/channel"
	"icomet/server/reactor"
)

// metrics reads /metrics: each line's value by name and labels.
func (s *testServer) metrics() map[string]string {
	s.t.Helper()
	values := make(map[string]string)
	for line := range strings.Lines(s.call("/metrics")) {
		if !strings.HasPrefix(line, "#") {
			i := strings.LastIndexByte(line, ' ')
			values[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return values
}

func (s *testServer) wantMetrics(want map[string]string) {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		got := s.metrics()
		for name, value := range want {
			if got[name] != value {
				return fmt.Errorf("%s is %q, want %s", name, got[name], value)
			}
		}
		return nil
	})
}

// TestMetricsCount: what has happened is in the numbers, each exactly once.
func TestMetricsCount(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.max_channels=7", "limits.connections=900", "limits.outbound_buffer=64KiB"))
	for _, transport := range []string{"stream", "stream", "sse", "iframe", "poll", "sub"} {
		s.open(transport, "cname=a&seq=1")
	}
	s.waitSubscribers("a", 6)
	s.call("/push?cname=a&content=one")
	s.open("stream", "cname=a&seq=1").want("data", "a", 1, "one")
	dial(t, s.front).get("/nothing").wantError(404, "path", false)
	presence := dial(t, s.admin).get("/psub")
	presence.head()
	s.wantMetrics(map[string]string{
		`icomet_connections{role="front",transport="stream"}`: "3",
		`icomet_connections{role="front",transport="sse"}`:    "1",
		`icomet_connections{role="front",transport="iframe"}`: "1",
		`icomet_connections{role="front",transport="poll"}`:   "0",
		`icomet_connections{role="front",transport="none"}`:   "3", // two answered polls and the 404
		`icomet_connections{role="admin",transport="psub"}`:   "1",
		`icomet_channels`:                             "1",
		`icomet_subscribers`:                          "5",
		`icomet_publish_total`:                        "1",
		`icomet_deliveries_total`:                     "6",
		`icomet_replayed_total`:                       "1",
		`icomet_publish_to_write_seconds_count`:       "6",
		`icomet_refused_total{reason="http_404"}`:     "1",
		`icomet_closed_total{reason="slow_consumer"}`: "0",
		`icomet_channels_limit`:                       "7",
		`icomet_connections_limit`:                    "900",
		`icomet_outbound_buffer_limit_bytes`:          "65536",
		`icomet_draining`:                             "0",
	})
	presence.Close()
	s.wantMetrics(map[string]string{`icomet_connections{role="admin",transport="psub"}`: "0"})
	if r := s.call("/metrics"); !strings.Contains(r, buildInfo()) ||
		!strings.Contains(r, "go_goroutines ") || !strings.Contains(r, "process_resident_memory_bytes ") {
		t.Errorf("build or runtime are missing:\n%s", r)
	}
}

// TestMetricsForm: the conventions for names, types and help texts hold.
func TestMetricsForm(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	problems, err := promlint.New(strings.NewReader(s.call("/metrics"))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Metric, "go_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	c := dial(t, s.admin)
	c.sendf("GET /metrics HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
	r := c.reply()
	if r.header.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain; version=") {
		t.Fatalf("%v", r.header)
	}
	z, err := gzip.NewReader(strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || !strings.Contains(string(b), "icomet_channels 0\n") {
		t.Errorf("%v in %d bytes", err, len(b))
	}
	c.sendf("POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
	c.wantError(405, "GET", false)
}

// TestSeriesFromTheStart: a series that appeared with its first event would hide that event
// from rate() and increase(). So none appears later.
func TestSeriesFromTheStart(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	fresh := s.metrics()
	// Every status that an answer of the server's can have by its own source.
	for _, status := range []int{400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 429, 431, 500, 501, 503, 505} {
		if name := fmt.Sprintf(`icomet_refused_total{reason="http_%d"}`, status); fresh[name] != "0" {
			t.Errorf("%s is %q on a fresh server", name, fresh[name])
		}
	}
	s.open("stream", "cname=a&seq=1")
	s.call("/push?cname=a&content=x")
	s.call("/broadcast?content=x")
	s.call("/close?cname=a")
	dial(t, s.front).get("/stream").wantError(400, "cname", false)
	dial(t, s.front).get("/nothing").wantError(404, "path", false)
	for name := range s.metrics() {
		if _, there := fresh[name]; !there && !strings.HasPrefix(name, "go_") {
			t.Errorf("%s has come with its first event", name)
		}
	}
}

// TestPublishToWrite: the time that a message waits for a paused loop is in the
// histogram, by subscriber.
func TestPublishToWrite(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "runtime.event_loops=1"))
	for range 3 {
		s.open("stream", "cname=a&seq=1")
	}
	s.waitSubscribers("a", 3)
	release := s.pause(0)
	start := time.Now()
	if _, err := s.hub.Publish(&channel.Publication{Name: []byte("a"), Content: "x"}); err != nil {
		t.Fatal(err)
	}
	const wait = 60 * time.Millisecond
	<-time.After(wait - time.Since(start))
	release()
	h := &s.reactor.Counters()[0].ToWrite
	checkFor(t, patience, func() error {
		if n := s.Stats().Deliveries; n != 3 {
			return fmt.Errorf("%d deliveries", n)
		}
		return nil
	})
	s.pauseAll()() // the slice has ended
	if sum := time.Duration(h.Sum.Load()); sum < 3*wait || sum > 3*time.Since(start) {
		t.Errorf("the sum is %v for 3 writes after %v", sum, wait)
	}
	for i := range h.Buckets {
		if n := h.Buckets[i].Load(); n > 0 && (i == 0 || reactor.LatencyBounds[i-1] < wait/2 || n != 3) {
			t.Errorf("%d writes in the bucket up to %v", n, reactor.LatencyBounds[min(i, len(reactor.LatencyBounds)-1)])
		}
	}
}

// familyLine is where a metric says its type.
var familyLine = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)

// families are the names and types that /metrics has.
func (s *testServer) families() map[string]string {
	s.t.Helper()
	found := make(map[string]string)
	for _, m := range familyLine.FindAllStringSubmatch(s.call("/metrics"), -1) {
		found[m[1]] = m[2]
	}
	return found
}
