package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/servertest"
)

// reload changes the running server's configuration.
func (s *testServer) reload(edit func(*config.Config)) {
	s.t.Helper()
	cfg := s.cfg
	edit(&cfg)
	if err := s.Reload(cfg); err != nil {
		s.t.Fatal(err)
	}
	s.cfg = cfg
}

// reloads are the keys that a reload can change, with a proof that each has.
var reloads = []struct {
	name  string
	edit  func(*config.Config)
	check func(t *testing.T, s *testServer)
}{
	{"admin.keys", func(c *config.Config) { c.Admin.Keys = []string{"0123456789abcdef"} }, func(t *testing.T, s *testServer) {
		dial(t, s.admin).get("/info").wantError(401, "key", false)
		c := dial(t, s.admin)
		c.sendf("GET /check?cname=z HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n")
		c.wantReply(200, "{}\n")
	}},
	{"admin.allow", func(c *config.Config) { c.Admin.Allow = []string{"192.0.2.1"} }, func(t *testing.T, s *testServer) {
		dial(t, s.admin).get("/info").wantError(403, "address", true)
	}},
	{"admin.deny", func(c *config.Config) { c.Admin.Deny = []string{"127.0.0.1"} }, func(t *testing.T, s *testServer) {
		dial(t, s.admin).get("/info").wantError(403, "address", true)
	}},
	{"front.auth", func(c *config.Config) { c.Front.Auth = "token" }, func(t *testing.T, s *testServer) {
		s.open("sub", "cname=keep").want("401", "keep", 0, "Token error")
	}},
	{"front.max_channels", func(c *config.Config) { c.Front.MaxChannels = 1 }, func(t *testing.T, s *testServer) {
		s.open("sub", "cname=one-more").want("429", "one-more", 0, "Too many channels")
	}},
	{"front.max_subscribers_per_channel", func(c *config.Config) { c.Front.MaxSubscribersPerChannel = 4 }, func(t *testing.T, s *testServer) {
		s.open("stream", "cname=keep").want("429", "keep", 0, "Too many subscribers")
	}},
	{"front.channel_buffer_size", func(c *config.Config) { c.Front.ChannelBufferSize = 2 }, func(t *testing.T, s *testServer) {
		for _, x := range []string{"1", "2", "3"} {
			s.call("/push?cname=ring&content=" + x)
		}
		dial(t, s.front).get("/sub?cname=ring&seq=1").wantReply(200,
			"["+messageText("data", "ring", 2, "2")+","+messageText("data", "ring", 3, "3")+"]\n")
	}},
	{"front.channel_timeout", func(c *config.Config) { c.Front.ChannelTimeout = 1 }, func(t *testing.T, s *testServer) {
		s.call("/push?cname=short&content=x")
		start := time.Now()
		checkFor(t, patience, func() error {
			if s.hub.Alive([]byte("short")) {
				return errors.New("the channel is still alive")
			}
			return nil
		})
		if took := time.Since(start); took > time.Second+servertest.Lateness {
			t.Errorf("freed after %v", took)
		}
	}},
	{"front.polling_timeout", func(c *config.Config) { c.Front.PollingTimeout = 1 }, func(t *testing.T, s *testServer) {
		dial(t, s.front).get("/ping?cb=").wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":1}\n")
		start := time.Now()
		s.open("sub", "cname=silent&seq=1").want("noop", "silent", 0, "")
		if took := time.Since(start); took > time.Second+servertest.Lateness {
			t.Errorf("a noop after %v", took)
		}
	}},
	{"front.allow_origins", func(c *config.Config) { c.Front.AllowOrigins = []string{"https://a.example"} }, func(t *testing.T, s *testServer) {
		c := dial(t, s.front)
		c.sendf("GET /ping HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\n\r\nGET /ping HTTP/1.1\r\nHost: h\r\nOrigin: https://b.example\r\n\r\n")
		if got := c.reply().header.Get("Access-Control-Allow-Origin"); got != "https://a.example" {
			t.Errorf("got %q", got)
		}
		if got := c.reply().header["Access-Control-Allow-Origin"]; got != nil {
			t.Errorf("got %q", got)
		}
	}},
	{"limits.request_line", func(c *config.Config) { c.Limits.RequestLine = 100 }, func(t *testing.T, s *testServer) {
		dial(t, s.front).get("/"+strings.Repeat("x", 100)).wantError(414, "line", true)
	}},
	{"limits.header", func(c *config.Config) { c.Limits.Header = 100 }, func(t *testing.T, s *testServer) {
		c := dial(t, s.front)
		c.sendf("GET / HTTP/1.1\r\nX: %s\r\n\r\n", strings.Repeat("x", 100))
		c.wantError(431, "header", true)
	}},
	{"limits.header_fields", func(c *config.Config) { c.Limits.HeaderFields = 2 }, func(t *testing.T, s *testServer) {
		c := dial(t, s.front)
		c.sendf("GET / HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\n\r\n")
		c.wantError(431, "fields", true)
	}},
	{"limits.body", func(c *config.Config) { c.Limits.Body = 10 }, func(t *testing.T, s *testServer) {
		c := dial(t, s.admin)
		c.sendf("%s", post("/push", formBody, "cname=aaaaa"))
		c.wantError(413, "body", true)
	}},
	{"limits.request_timeout", func(c *config.Config) { c.Limits.RequestTimeout = config.Duration(300 * time.Millisecond) }, func(t *testing.T, s *testServer) {
		c := dial(t, s.front)
		c.sendf("GET /ping")
		start := time.Now()
		c.wantError(408, "request_timeout", true)
		if took := time.Since(start); took > time.Second+servertest.Lateness {
			t.Errorf("refused after %v", took)
		}
	}},
	{"limits.connections_per_ip", func(c *config.Config) { c.Limits.ConnectionsPerIP = 1 }, func(t *testing.T, s *testServer) {
		first := dial(t, s.front)
		first.get("/ping?cb=").reply() // it is counted before the second comes
		second := dial(t, s.front)
		second.get("/sub?cname=keep").wantReply(200, messageText("429", "keep", 0, "Too many subscribers")+"\n")
		second.expectEnd()
		first.Close()
	}},
	{"limits.connections", func(*config.Config) {}, func(t *testing.T, s *testServer) {
		// A few less than there are: some of those may be on their way out.
		s.reload(func(c *config.Config) { c.Limits.Connections = s.openConns() - 4 })
		c := dial(t, s.front).get("/ping")
		r := c.reply()
		if r.status != 503 || r.header.Get("Retry-After") == "" || !r.close {
			t.Errorf("got %d %v", r.status, r.header)
		}
		c.expectEnd()
	}},
}

// openConns is how many connections both ports have.
func (s *testServer) openConns() int {
	n, _ := s.reactor.Connections()
	return int(n)
}

// TestReload: each reloadable key takes effect, can be taken back, and drops nobody:
// the subscribers of all transports get the message after it as if nothing were.
func TestReload(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	original := s.cfg
	var subs []*subscriber
	for _, transport := range []string{"stream", "sse", "iframe"} {
		subs = append(subs, s.open(transport, "cname=keep&seq=1"))
	}
	publisher := dial(t, s.admin)
	seq := int64(0)
	for _, r := range reloads {
		t.Run(r.name, func(t *testing.T) {
			poll := s.open("sub", "cname=keep&seq="+fmt.Sprint(seq+1))
			checkFor(t, patience, func() error { return s.hasSubscribers("keep", 4) })
			s.reload(r.edit)
			r.check(t, s)
			s.reload(func(c *config.Config) { *c = original })
			publisher.get("/push?cname=keep&content=after").wantReply(200, "{\"type\":\"ok\"}\n")
			seq++
			for _, sub := range append(subs, poll) {
				got := sub.next()
				for strings.Contains(got, `"type":"noop"`) { // polling_timeout was short
					if sub.polls {
						sub.get(fmt.Sprintf("/sub?cname=keep&seq=%d", seq))
					}
					got = sub.next()
				}
				want := takeEpochs(got, asSent(sub.transport, "data", "keep", seq, "after"))
				if got != want && !(sub.polls && got == "["+strings.TrimSpace(want)+"]\n") {
					t.Fatalf("/%s: got %q", sub.transport, got)
				}
			}
			checkFor(t, patience, func() error { return s.hasSubscribers("keep", 3) })
		})
	}
}

// TestReloadReachesWhoWaits: a shorter polling_timeout and idle_timeout count for
// those who wait already.
func TestReloadReachesWhoWaits(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	stream, poll := s.open("stream", "cname=a&seq=1"), s.open("poll", "cname=a&seq=1&noop=3")
	idle := dial(t, s.front)
	checkFor(t, patience, func() error { return s.hasSubscribers("a", 2) })
	start := time.Now()
	s.reload(func(c *config.Config) {
		c.Front.PollingTimeout = 1
		c.Limits.IdleTimeout = config.Duration(300 * time.Millisecond)
	})
	stream.want("noop", "a", 0, "")
	poll.want("noop", "a", 3, "")
	idle.expectEnd()
	if took := time.Since(start); took > time.Second+servertest.Lateness {
		t.Errorf("this took %v", took)
	}
}

// TestReloadRefusesNonsense: and goes on with what it had.
func TestReloadRefusesNonsense(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	cfg := s.cfg
	cfg.Admin.Allow = []string{"nonsense"}
	if err := s.Reload(cfg); err == nil {
		t.Error("a network that is none is taken")
	}
	if got := s.call("/check?cname=a"); got != "{}\n" {
		t.Errorf("got %q", got)
	}
}
