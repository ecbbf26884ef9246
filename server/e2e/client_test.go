package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/servertest"
)

// dialFrom connects from another address of the loopback network.
func dialFrom(t testing.TB, from, addr string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := servertest.NewConn(nc)
	return newClient(t, c, err)
}

// Counts is who the limit per address counts, as "address=n".
func (s *testServer) perIP() string {
	var all []string
	for a, n := range s.reactor.PerIP() {
		all = append(all, fmt.Sprint(a, "=", n))
	}
	return strings.Join(all, " ")
}

func (s *testServer) wantCounts(want string) {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		if got := s.perIP(); got != want {
			return fmt.Errorf("counted: %q, want %q", got, want)
		}
		return nil
	})
}

// TestPerIPBehindProxy: a trusted proxy's subscribers are counted by client, while
// their responses are open; others' word for it is not taken.
func TestPerIPBehindProxy(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.trusted_proxies=127.0.0.1", "limits.connections_per_ip=2"))
	from := func(from, forwarded, path string) *client {
		c := dialFrom(t, from, s.front)
		c.sendf("GET %s HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: %s\r\n\r\n", path, forwarded)
		return c
	}
	refused := messageText("429", "a", 0, "Too many subscribers") + "\n"
	var held []*client
	for range 2 {
		c := from("127.0.0.1", "6.6.6.6, 1.2.3.4", "/stream?cname=a&seq=1")
		c.head()
		held = append(held, c)
	}
	s.wantCounts("1.2.3.4=2")
	// Over it a subscriber is told in-band, and the proxy keeps its connection.
	over := from("127.0.0.1", "1.2.3.4", "/stream?cname=a&seq=1")
	if r := over.reply(); r.status != 200 || r.body != refused || r.close {
		t.Errorf("got %d %q %v", r.status, r.body, r.close)
	}
	// On the same connection another client is served, then waits and is counted.
	over.sendf("GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.5\r\n\r\n")
	checkFor(t, patience, func() error { return s.hasSubscribers("a", 3) })
	s.call("/push?cname=a&content=x")
	over.wantReply(200, messageText("data", "a", 1, "x")+"\n")
	s.wantCounts("1.2.3.4=2") // a poll that is answered counts no more
	for range 5 {             // nor does one that is answered at once
		over.sendf("GET /sub?cname=a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.6\r\n\r\n")
		over.wantReply(200, messageText("next_seq", "a", 2, "")+"\n")
	}
	s.wantCounts("1.2.3.4=2")

	// Who is no trusted proxy counts as itself, whatever it says.
	for i := range 3 {
		c := from("127.0.0.2", fmt.Sprintf("5.5.5.%d", i), "/sub?cname=a&seq=2")
		if i == 2 {
			if r := c.reply(); r.body != refused || !r.close {
				t.Errorf("got %q %v", r.body, r.close)
			}
		} else {
			held = append(held, c)
			checkFor(t, patience, func() error { return s.hasSubscribers("a", 3+i) })
		}
	}
	for _, c := range held {
		c.Close()
	}
	over.Close()
	s.wantCounts("")
	if n := s.Stats().Refused["per_ip"]; n != 2 {
		t.Errorf("%d refusals are counted", n)
	}
	checkFor(t, patience, func() error {
		for i, l := range s.reactor.Inspect() {
			if l.Proxied != 0 {
				return fmt.Errorf("loop %d knows %d proxied connections", i, l.Proxied)
			}
		}
		return nil
	})
}

// TestProxyNoLongerTrusted: who is taken off the list is not believed on the
// connections that it has.
func TestProxyNoLongerTrusted(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "admin.trusted_proxies=127.0.0.1", "admin.allow=1.2.3.4"))
	c := dialFrom(t, "127.0.0.1", s.admin)
	ask := func() reply {
		c.sendf("GET /info HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
		return c.reply()
	}
	if r := ask(); r.status != 200 {
		t.Fatalf("%d %q", r.status, r.body)
	}
	s.reload(func(cfg *config.Config) { cfg.Admin.TrustedProxies = []string{} })
	if r := ask(); r.status != 403 {
		t.Errorf("%d %q", r.status, r.body)
	}
}

// TestAdminBehindProxy: the address lists judge the client of each request.
func TestAdminBehindProxy(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "admin.trusted_proxies=127.0.0.1", "admin.allow=192.168.0.0/16,127.0.0.2,2001:db8::/32", "admin.deny=192.168.6.0/24"))
	for _, tc := range []struct {
		from, forwarded string
		allowed         bool
	}{
		{"127.0.0.1", "192.168.1.1", true},
		{"127.0.0.1", "2001:db8::5", true},
		{"127.0.0.1", "::ffff:192.168.1.1", true},
		{"127.0.0.1", "192.168.6.1", false},
		{"127.0.0.1", "8.8.8.8", false},
		{"127.0.0.1", "192.168.1.1, 8.8.8.8", false},
		{"127.0.0.1", "8.8.8.8, 192.168.1.1", true},
		{"127.0.0.1", "192.168.1.1, nonsense", false},
		{"127.0.0.1", "", false}, // the proxy itself
		{"127.0.0.2", "8.8.8.8", true},
		{"127.0.0.3", "192.168.1.1", false},
	} {
		for _, call := range []string{"GET /info HTTP/1.1\r\n", "POST /push HTTP/1.1\r\nContent-Length: 16\r\n"} {
			c := dialFrom(t, tc.from, s.admin)
			c.sendf("%sHost: h\r\nX-Forwarded-For: %s\r\n\r\n", call, tc.forwarded)
			if !tc.allowed {
				c.wantError(403, "address", true)
				continue
			}
			if strings.HasPrefix(call, "POST") {
				c.sendf("cname=a&content=")
			}
			if r := c.reply(); r.status != 200 {
				t.Errorf("%s for %s: %d %q", tc.from, tc.forwarded, r.status, r.body)
			}
		}
	}
	// On one connection the proxy brings one client after the other.
	c := dialFrom(t, "127.0.0.1", s.admin)
	c.sendf("GET /info HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.168.1.1\r\n\r\nGET /info HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n")
	if r := c.reply(); r.status != 200 {
		t.Errorf("%d %q", r.status, r.body)
	}
	c.wantError(403, "address", true)
}

// TestPerIPInBand: over the limit every transport is told in its own framing.
func TestPerIPInBand(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "limits.connections_per_ip=1"))
	first := s.open("stream", "cname=a&seq=1")
	s.wantCounts("127.0.0.1=1")
	for _, transport := range transports {
		c := s.open(transport, "cname=new")
		c.want("429", "new", 0, "Too many subscribers")
		c.Close()
	}
	s.wantCounts("127.0.0.1=1")
	if n := s.hub.Channels(); n != 1 {
		t.Errorf("%d channels: a refused subscriber has created one", n)
	}
	other := dialFrom(t, "127.0.0.2", s.front).get("/sub?cname=a")
	other.wantReply(200, messageText("next_seq", "a", 1, "")+"\n")
	other.Close()
	first.Close()
	s.wantCounts("")
	c := s.open("sub", "cname=a")
	c.want("next_seq", "a", 1, "")
	_ = c.SetDeadline(time.Time{})
}
