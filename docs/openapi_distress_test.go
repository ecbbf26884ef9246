package docs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"icomet/channel"
	"icomet/channel/redis"
	"icomet/channel/redis/redistest"
	"icomet/server/config"
	"icomet/server/servertest"
)

// tryDistress: what the calls answer when something is away, full or busy. d.try would want
// one status; here the document says which may come, and checkAllSeen that they have.
func (d *document) tryDistress() {
	d.t.Helper()
	d.tryAll(d.away(), "Redis is away", func(c *call) bool {
		return c.path == "/sse" && (c.method == "GET" || c.method == "POST")
	})
	full := start(d.t, func(cfg *config.Config) { cfg.Limits.Connections = 1 })
	resp := full.do(d.find("GET /stream"), request{query: url.Values{"cname": {"a"}}})
	defer resp.Body.Close()
	d.tryAll(full, "over the cap", nil)
	busy := start(d.t, nil)
	d.tryBusy(busy)
	d.tryFeeds(busy)
	d.tryLeaving()
}

// tryLeaving: publishing while the subscribers are ended.
func (d *document) tryLeaving() {
	d.t.Helper()
	s := start(d.t, func(cfg *config.Config) { cfg.Limits.DrainTimeout = config.Duration(servertest.Patience) })
	for range 20 { // some stay until their connection is closed
		resp := s.do(d.find("GET /stream"), request{query: url.Values{"cname": {"a"}}})
		defer resp.Body.Close()
	}
	s.Shutdown()
	c := d.find("POST /batch")
	d.try(s, c, "leaving", c.good(), 503)
}

// wantNoAnswer makes a call whose connection is closed instead of an answer.
func (s *running) wantNoAnswer(c *call) {
	s.t.Helper()
	resp, err := s.request(c, c.good())
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, io.EOF) {
		s.t.Errorf("%s: %v, %v, want a closed connection", c, resp, err)
	}
}

// tryAll makes every call. Those that lets names get no answer; nil: none.
func (d *document) tryAll(s *running, about string, lets func(*call) bool) {
	d.t.Helper()
	for _, c := range d.calls {
		if lets != nil && lets(c) {
			s.wantNoAnswer(c)
			continue
		}
		resp := s.do(c, c.good())
		d.check(c, c.String()+", "+about, resp)
		resp.Body.Close()
	}
}

// away is a server whose Redis has ended.
func (d *document) away() *running {
	d.t.Helper()
	store := redistest.Start(d.t)
	s := startOn(d.t, nil, func(h *channel.Hub) (channel.Engine, error) {
		return redis.New(redis.Options{
			Hub: h, Addresses: []string{store.Addr()}, Prefix: "icomet:", Pool: 1,
			DialTimeout: 2 * time.Second, Timeout: 2 * time.Second, NodeTimeout: 5 * time.Second,
			Logger: slog.New(slog.DiscardHandler),
		})
	})
	store.Kill()
	s.become(d.find("GET /readyz"), "", 503)
	return s
}

// tryBusy: as many requests of net/http's handlers as are served at a time, and one more.
func (d *document) tryBusy(s *running) {
	d.t.Helper()
	defer s.begin(d.find("GET /debug/pprof/profile"), "seconds=30")()
	s.become(d.find("GET /debug/pprof/profile"), "seconds=1", 500)
	d.try(s, d.find("GET /debug/pprof/profile"), "under way already", request{query: url.Values{"seconds": {"1"}}}, 500)
	for range 7 {
		defer s.begin(d.find("GET /debug/pprof/heap"), "seconds=30")()
	}
	s.become(d.find("GET /metrics"), "", 503)
	d.tryAll(s, "busy", nil)
	d.try(s, d.find("GET /debug/pprof/profile"), "busy", request{query: url.Values{"seconds": {"1"}}}, 503)
}

// tryFeeds: as many dashboards as there may be, and one more.
func (d *document) tryFeeds(s *running) {
	d.t.Helper()
	feed := d.find("GET /dashboard/feed")
	for open := 0; ; open++ {
		resp := s.do(feed, request{})
		defer resp.Body.Close()
		if resp.StatusCode == 503 {
			d.check(feed, "GET /dashboard/feed, one too many", resp)
			return
		}
		if open == 100 {
			d.t.Errorf("%d dashboards are open", open)
			return
		}
	}
}

// begin makes a call that is answered late, again and again: it may be refused first. end
// gives it up.
func (s *running) begin(c *call, query string) (end func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	req, err := http.NewRequestWithContext(ctx, c.method, s.admin+c.path+"?"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		for ctx.Err() == nil {
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
			}
		}
	}()
	return cancel
}

// become makes a call until it has that status.
func (s *running) become(c *call, query string, want int) {
	s.t.Helper()
	values, _ := url.ParseQuery(query)
	servertest.CheckFor(s.t, servertest.Patience, func() error {
		resp := s.do(c, request{query: values})
		resp.Body.Close()
		if resp.StatusCode != want {
			return fmt.Errorf("%s: status %d, not yet %d", c, resp.StatusCode, want)
		}
		return nil
	})
}
