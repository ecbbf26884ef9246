package e2e

import (
	"fmt"
	"testing"
	"time"

	"icomet/server/config"
)

// TestHealthNeedsNoKey: probes hold no key and name any Host; the address counts.
func TestHealthNeedsNoKey(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "admin.keys=0123456789abcdef", "admin.hosts=known.example", "admin.allow=127.0.0.1"))
	c := dial(t, s.admin)
	for _, path := range []string{"/healthz", "/readyz"} {
		c.sendf("GET %s HTTP/1.1\r\nHost: probe.example\r\n\r\n", path)
		c.wantReply(200, "ok\n")
		c.sendf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", path)
		c.wantError(405, "GET, HEAD", false)
		dialFrom(t, "127.0.0.2", s.admin).get(path).wantError(403, "address", true)
		if status, _ := s.request("GET", s.front, path); status != 404 {
			t.Errorf("%s on the front port: %d", path, status)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/nothing"} {
		c.sendf("GET %s HTTP/1.1\r\nHost: known.example\r\n\r\n", path)
		c.wantError(401, "key", false)
		c.sendf("GET %s HTTP/1.1\r\nHost: probe.example\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", path)
		c.wantError(403, "Host", false)
	}
	c.sendf("GET /metrics HTTP/1.1\r\nHost: known.example\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n")
	if r := c.reply(); r.status != 200 {
		t.Errorf("%d %q", r.status, r.body)
	}
}

// TestHealthOfAStuckLoop: every other loop tells of it, until it goes on.
func TestHealthOfAStuckLoop(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	var asking *client // on the second loop
	for asking == nil {
		c := dial(t, s.admin)
		c.get("/healthz").wantReply(200, "ok\n")
		if s.reactor.Counters()[1].Admin.Load() > 0 {
			asking = c
		}
	}
	release := s.pause(0)
	start := time.Now()
	checkFor(t, patience, func() error {
		if status, body := asking.get("/healthz").response(); status != 503 {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	if d := time.Since(start); d < time.Second-tickLength {
		t.Errorf("it is called dead after %v", d)
	}
	asking.get("/healthz").wantError(503, "event loop 0 has not answered", false)
	release()
	checkFor(t, patience, func() error {
		if status, body := asking.get("/healthz").response(); status != 200 {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}

// TestReady: not while draining, and not over a limit; alive all the same.
func TestReady(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.max_channels=2", "limits.drain_timeout=1h"))
	c := dial(t, s.admin)
	c.get("/readyz").wantReply(200, "ok\n")
	s.call("/push?cname=a&content=x")
	c.get("/readyz").wantReply(200, "ok\n")
	s.call("/push?cname=b&content=x")
	c.get("/readyz").wantError(503, "2 channels of 2 (front.max_channels)", false)
	s.call("/close?cname=b")
	c.get("/readyz").wantReply(200, "ok\n")

	s.reload(func(cfg *config.Config) { cfg.Limits.Connections = 1 })
	checkFor(t, patience, func() error {
		if status, body := c.get("/readyz").response(); status != 503 {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	s.reload(func(cfg *config.Config) { cfg.Limits.Connections = 0 })
	c.get("/readyz").wantReply(200, "ok\n")

	s.subscribe("/stream?cname=a&seq=2") // holds up the end
	s.Shutdown()
	checkFor(t, patience, func() error {
		c := dial(t, s.admin).get("/readyz")
		if status, body := c.response(); status != 503 || body != "the server is shutting down\n" {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	dial(t, s.admin).get("/healthz").wantReply(200, "ok\n")
	s.reload(func(cfg *config.Config) { cfg.Limits.DrainTimeout = config.Duration(100 * time.Millisecond) })
}
