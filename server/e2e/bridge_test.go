package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// maxBridged is how many requests handlers of net/http work on at a time.
const maxBridged = 8

// longProfile takes a minute, unless its context ends.
const longProfile = "/debug/pprof/heap?seconds=60"

func (s *testServer) waitBridged(n int) {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		if got := s.reactor.Bridged(); got != n {
			return fmt.Errorf("%d requests are under way, want %d", got, n)
		}
		return nil
	})
}

// TestBridgeOrder: the answers of a pipeline come in order, also when a slow handler
// is in the middle, and the loop serves others meanwhile.
func TestBridgeOrder(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "runtime.event_loops=1"))
	c := dial(t, s.admin)
	c.get("/check?cname=first").get("/debug/pprof/heap?seconds=10").get("/metrics").get("/check?cname=last")
	start := time.Now()
	c.wantReply(200, "{}\n")
	dial(t, s.admin).get("/check?cname=other").wantReply(200, "{}\n")
	if d := time.Since(start); d >= 10*time.Second {
		t.Errorf("another connection has waited %v", d)
	}
	for _, want := range []string{"\x1f\x8b", "icomet_channels"} {
		if r := c.reply(); r.status != 200 || !strings.Contains(r.body, want) {
			t.Errorf("%d, %q is not in %.100q", r.status, want, r.body)
		}
	}
	c.wantReply(200, "{}\n")
	// The last request of a connection ends it, behind its answer.
	c.sendf("GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if r := c.reply(); r.status != 200 || !r.close {
		t.Errorf("%d %v", r.status, r.close)
	}
	c.expectEnd()
}

// TestBridgeIsBounded: requests over the bound are refused at once; a client that goes
// away gives its place back.
func TestBridgeIsBounded(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	var held []*client
	for range maxBridged {
		held = append(held, dial(t, s.admin).get(longProfile))
	}
	s.waitBridged(maxBridged)
	dial(t, s.admin).get("/metrics").wantError(503, "busy", false)
	for _, c := range held[:2] {
		c.Close()
	}
	s.waitBridged(maxBridged - 2)
	if body := s.call("/metrics"); !strings.Contains(body, "icomet_channels 0\n") {
		t.Errorf("%.100q", body)
	}
	// The others end with the server, which does not wait for them: see stop.
}

// TestBridgeEndsWithTheServer: a profile under way does not hold up the exit.
func TestBridgeEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	dial(t, s.admin).get(longProfile)
	s.waitBridged(1)
	start := time.Now()
	s.stop()
	if d := time.Since(start); d > 50*time.Second {
		t.Errorf("the server has ended after %v", d)
	}
	s.waitBridged(0)
}

// TestProfiles: every page that pprof's index links to is there, and a CPU profile.
func TestProfiles(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	index := s.call("/debug/pprof/")
	links := 0
	for part := range strings.SplitSeq(index, "<a href='") {
		link, _, found := strings.Cut(part, "'")
		if !found || strings.Contains(link, "\n") || strings.HasPrefix(link, "profile") || strings.HasPrefix(link, "trace") {
			continue
		}
		links++
		if body := s.call("/debug/pprof/" + link); body == "" {
			t.Errorf("%s is empty", link)
		}
	}
	if links < 6 {
		t.Errorf("%d links in %s", links, index)
	}
	c := dial(t, s.admin).get("/debug/pprof/profile?seconds=1")
	if r := c.reply(); r.status != 200 || r.header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(r.body, "\x1f\x8b") {
		t.Errorf("%d %v", r.status, r.header)
	}
	c.sendf("POST /debug/pprof/symbol HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n0x0")
	if r := c.reply(); r.status != 200 || !strings.HasPrefix(r.body, "num_symbols: 1") {
		t.Errorf("%d %q", r.status, r.body)
	}
}
