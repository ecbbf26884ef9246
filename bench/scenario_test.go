//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func TestCheckLoopback(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80":    "",
		"127.200.3.4:1":   "",
		"10.0.0.1:80":     "127.0.0.0/8 only",
		"0.0.0.0:80":      "127.0.0.0/8 only",
		"[::1]:80":        "127.0.0.0/8 only",
		"127.0.0.1:0":     "port 0",
		"127.0.0.1":       "want 127",
		"localhost:80":    "want 127",
		"example.org:443": "want 127",
	} {
		_, err := CheckLoopback(address)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	s, err := Preset("publish", Options{Duration: time.Second, Drain: time.Second, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), s, Target{Running: []Node{{Front: "127.0.0.1:1", Admin: "192.0.2.1:80"}}}, nil); err == nil || !strings.Contains(err.Error(), "127.0.0.0/8 only") {
		t.Errorf("load on another host is not refused: %v", err)
	}
}

func TestValidate(t *testing.T) {
	s, err := Preset("fanout", Options{Subscribers: 10})
	if err != nil {
		t.Fatal(err)
	}
	s.Procs, s.Concurrency = 4, 3
	if err := s.Validate(); err == nil {
		t.Error("fewer connections at a time than processes")
	}
	for want, o := range map[string]Options{
		"":               {Subscribers: 10},
		"subscribers":    {Subscribers: MaxSubscribers + 1},
		"size":           {Size: MinSize - 1},
		"rate":           {Rate: -1},
		"depth":          {Depth: MaxDepth + 1},
		"publishers for": {Publishers: 2},
		"procs":          {Procs: MaxProcs + 1, Concurrency: 1000},
		"longer than":    {Duration: MaxDuration + 1},
	} {
		_, err := Preset("fanout", o)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	if _, err := Preset("churn", Options{Transport: Poll}); err == nil {
		t.Error("churn of polls")
	}
	if _, err := Preset("other", Options{}); err == nil {
		t.Error("an unknown scenario")
	}
}

func TestShare(t *testing.T) {
	for n := range 40 {
		for procs := 1; procs < 9; procs++ {
			sum := 0
			for i := range procs {
				want := 0
				for k := i; k < n; k += procs {
					want++
				}
				if got := share(n, i, procs); got != want {
					t.Fatalf("share(%d, %d, %d) is %d, want %d", n, i, procs, got, want)
				}
				sum += want
			}
			if sum != n {
				t.Fatalf("%d of %d shared out", sum, n)
			}
		}
	}
}

// TestRequests reads the harness's requests with net/http.
func TestRequests(t *testing.T) {
	d := newDialect(DialectIcomet, "p-")
	for _, size := range []int{100, longestInTarget, longestInTarget + 1, 50_000} {
		c := newContents(size)
		r := readRequest(t, d.publish(nil, c, 5, 7, 3))
		if r.path != "/push" || r.form.Get("cname") != "p-7" || r.form.Get("content") != string(c.append(nil, 5, 7, 3)) {
			t.Errorf("size %d: %s %.100v", size, r.path, r.form)
		}
		r = readRequest(t, d.broadcast(nil, c, 5, 3))
		if r.path != "/broadcast" || r.form.Get("content") != string(c.append(nil, 5, broadcastIndex, 3)) {
			t.Errorf("size %d: %s %.100v", size, r.path, r.form)
		}
	}
	for transport, path := range map[Transport]string{Stream: "/stream", SSE: "/sse", Iframe: "/iframe", Poll: "/poll"} {
		r := readRequest(t, d.subscribe(nil, transport, 7, 9, nil))
		if r.path != path || r.form.Get("cname") != "p-7" || r.form.Get("seq") != "9" {
			t.Errorf("%s: %s %v", transport, r.path, r.form)
		}
	}
}

type request struct {
	path string
	form url.Values
}

func readRequest(t *testing.T, b []byte) request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatalf("%.100q: %v", b, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	return request{r.URL.Path, r.Form}
}

// TestSubscriberIsSmall: 19,000 of them are part of what the harness costs.
func TestSubscriberIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(subscriber{}); size > 32 {
		t.Errorf("a subscriber has %d bytes", size)
	}
}

func TestSourceAddresses(t *testing.T) {
	seen := map[uint32]int{}
	for n := uint32(0); n < 2*MaxSubscribers; n++ {
		a := sourceAddress(n)
		if a[0] != 127 || a[1] == 0 {
			t.Fatalf("connection %d comes from %v", n, a)
		}
		seen[binary.BigEndian.Uint32(a[:])]++
	}
	for a, n := range seen {
		if n > perSource {
			t.Fatalf("%d connections from %x", n, a)
		}
	}
}

func TestClockIsShared(t *testing.T) {
	before := monotonic()
	at := now()
	after := monotonic()
	const slack = int64(50 * time.Microsecond) // of the calibration
	if at < before-slack || at > after+slack {
		t.Errorf("now is %d, CLOCK_MONOTONIC went from %d to %d", at, before, after)
	}
}

func TestMedianAndRatio(t *testing.T) {
	for want, v := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 7: {7}, 0: nil} {
		if got := median(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("median of %v is %g, want %g", v, got, want)
		}
	}
	result := func(rate float64) *Result { return &Result{DeliveryRate: rate, Measured: Counts{Deliveries: 1}} }
	c := Comparison{Title: "x", Servers: []string{"a", "/x/b -f"}, Results: [][]*Result{{result(100), result(300), result(200)}, {result(50), result(150), result(100)}}}
	var b strings.Builder
	c.Markdown(&b, "deliveries")
	if want := "| x | deliveries, 1/s | 200 | 100 | 0.50 |\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestParseListening(t *testing.T) {
	for line, want := range map[string]listening{
		`time=2026-01-01T00:00:00Z level=INFO msg=listening role=front address=127.0.0.1:1234`: {"front", "127.0.0.1:1234"},
		`msg=listening role="admin" address="127.0.0.1:1" loops=2`:                             {"admin", "127.0.0.1:1"},
		`msg=listening address=127.0.0.1:1`:                                                    {},
		`msg=closing role=front address=127.0.0.1:1`:                                           {},
	} {
		got, ok := parseListening(line)
		if ok != (want != listening{}) || ok && got != want {
			t.Errorf("%s: %v %v", line, got, ok)
		}
	}
}
