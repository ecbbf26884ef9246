package e2e

import (
	"fmt"
	"strings"
	"testing"

	"icomet/server/config"
)

// strictHosts makes the admin port judge Host: other tests' servers take any.
func strictHosts(cfg *config.Config) {
	cfg.Admin.Hosts = []string{"Push.internal"}
}

// TestAdminHost: only names that nobody else can give this port's address to.
func TestAdminHost(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(cfg *config.Config) {
		strictHosts(cfg)
		cfg.Admin.Listen = "localhost:0"
	})
	for _, tc := range []struct {
		request string
		allowed bool
	}{
		{"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", true},
		{"GET /info HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n", true},
		{"GET /info HTTP/1.1\r\nHost: 192.0.2.7:1\r\n\r\n", true},
		{"GET /info HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", true},
		{"GET /info HTTP/1.1\r\nHost: [::1]\r\n\r\n", true},
		{"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n", true},
		{"GET /info HTTP/1.1\r\nHOST: LocalHost:8000\r\n\r\n", true},
		{"GET /info HTTP/1.1\r\nHost: push.internal:8000\r\n\r\n", true},
		{"GET /info HTTP/1.1\r\nHost: PUSH.internal\r\n\r\n", true},
		{"GET /info HTTP/1.0\r\n\r\n", true},
		{"GET /info HTTP/1.0\r\nHost: localhost:1\r\n\r\n", true},
		{"GET /info HTTP/1.0\r\nHost: evil.example\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: evil.example\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: evil.example:8000\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: evillocalhost\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: 1a.2\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: sub.push.internal\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: localhost:\r\n\r\n", true}, // RFC 3986 section 3.2.3
		{"GET /info HTTP/1.1\r\nHost: localhost:evil.example\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: localhost:80:evil.example\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: localhost:evil.example:80\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: 127.0.0.1:evil.example\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: 127.0.0.1:80x\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: push.internal:evil\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: [evil.example]\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: [bad.cafe]\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: [::1]evil.example\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: [::1]80\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: [::1].evil.example:80\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: [::1:80\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: ::1\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: [::1]:evil\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: []\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: [::ffff:10.0.0.1]:80\r\n\r\n", true},
		{"GET http://localhost:evil.example/info HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
		{"GET http://[::1]evil.example/info HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost:\r\n\r\n", false},
		{"GET /info HTTP/1.1\r\nHost: :8000\r\n\r\n", false},
		// An absolute target counts, not Host (RFC 9112 section 3.2.2).
		{"GET http://localhost:8000/info HTTP/1.1\r\nHost: evil.example\r\n\r\n", true},
		{"GET http://evil.example/info HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
		{"GET http://evil.example/info HTTP/1.0\r\n\r\n", false},
	} {
		c := dial(t, s.admin)
		c.sendf("%s", tc.request)
		checkVerdict(t, c, tc.request, tc.allowed, "Host")
	}
	// The front port has visitors from everywhere.
	c := dial(t, s.front)
	c.sendf("GET /ping?cb= HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	c.wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":30}\n")
}

func checkVerdict(t *testing.T, c *client, request string, allowed bool, word string) {
	t.Helper()
	r := c.reply()
	if allowed && r.status != 200 || !allowed && (r.status != 403 || !strings.Contains(r.body, word)) {
		t.Errorf("%q: got %d %q", request, r.status, r.body)
	}
}

// TestAdminOrigin: pages of other sites are refused, and what existing pages of the
// same host do goes on.
func TestAdminOrigin(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(cfg *config.Config) {
		strictHosts(cfg)
		cfg.Admin.AllowOrigins = []string{"https://desk.example", "http://desk.example:81"}
	})
	for _, tc := range []struct {
		fields  string
		allowed bool
	}{
		{"", true},
		{"Origin: http://127.0.0.1:8000", true},
		{"Origin: http://127.0.0.1:3000", true}, // another port of the same host
		{"Origin: https://127.0.0.1", true},
		{"Origin: http://evil.example", false},
		{"Origin: http://127.0.0.1.evil.example", false},
		{"Origin: http://localhost:8000", false}, // not the host that was asked for
		{"Origin: null", false},
		{"Origin: garbage", false},
		{"ORIGIN: http://evil.example", false},
		{"Origin: https://desk.example", true},
		{"Origin: http://desk.example:81", true},
		{"Origin: http://desk.example", false},
		{"Origin: https://desk.example.evil.example", false},
		{"Sec-Fetch-Site: same-site", true},
		{"Sec-Fetch-Site: same-origin", true},
		{"Sec-Fetch-Site: none", true},
		{"Sec-Fetch-Site: cross-site", false},
		{"SEC-FETCH-SITE: cross-site", false},
		{"Sec-Fetch-Site: same-site\r\nOrigin: http://other.site:3000", true},
		{"Sec-Fetch-Site: cross-site\r\nOrigin: http://127.0.0.1:8000", false},
		{"Sec-Fetch-Site: cross-site\r\nOrigin: https://desk.example", true},
		{"Sec-Fetch-Site: unheard-of\r\nOrigin: http://evil.example", false},
		{"Sec-Fetch-Site: cross-site\r\nReferer: https://desk.example/page?x#y", true}, // JSONP
		{"Sec-Fetch-Site: cross-site\r\nReferer: https://desk.example", true},
		{"Sec-Fetch-Site: cross-site\r\nReferer: https://desk.example.evil.example/", false},
		{"Sec-Fetch-Site: cross-site\r\nReferer: https://evil.example/https://desk.example", false},
		{"Sec-Fetch-Site: cross-site\r\nReferer: https://evil.example/\r\nOrigin: https://desk.example", true},
		{"Sec-Fetch-Site: cross-site\r\nReferer: https://desk.example/\r\nOrigin: https://evil.example", false},
		{"Origin: http://127.0.0.1:evil.example", false},
		{"Sec-Fetch-Site: none, cross-site", false},
		{"Sec-Fetch-Site: cross-site, none", false},
		{"Referer: https://evil.example/", true}, // no browser that knows of sites; as before
	} {
		fields := tc.fields
		if fields != "" {
			fields += "\r\n"
		}
		for _, call := range []string{"GET /check?cname=a", "POST /check?cname=a"} {
			c := dial(t, s.admin)
			c.sendf("%s HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n%s\r\n", call, fields)
			checkVerdict(t, c, call+" "+tc.fields, tc.allowed, "origin")
		}
	}
	// Two readers might go by different ones of a repeated field.
	for _, twice := range [][2]string{
		{"Origin: https://desk.example", "Origin: http://evil.example"}, {"Origin: http://evil.example", "ORIGIN: https://desk.example"},
		{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none"}, {"Sec-Fetch-Site: none", "Sec-Fetch-Site: none"},
		{"Sec-Fetch-Site: cross-site\r\nReferer: https://evil.example/", "Referer: https://desk.example/"},
	} {
		c := dial(t, s.admin)
		c.sendf("GET /push?cname=x&content=y HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s\r\n\r\n", twice[0], twice[1])
		c.wantError(403, "repeated", false)
	}
	// A refused call does nothing.
	for _, path := range []string{"/push", "/pub", "/broadcast", "/sign"} {
		c := dial(t, s.admin)
		c.sendf("GET %s?cname=x&content=y HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", path)
		c.wantError(403, "origin", false)
	}
	if n := s.hub.Channels(); n != 0 {
		t.Errorf("%d channels were created", n)
	}
	if n := s.Stats().Refused["http_403"]; n == 0 {
		t.Error("nothing is counted")
	}
}

// TestAdminOriginAll: "*" is for those who guard the port otherwise.
func TestAdminOriginAll(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "admin.hosts=*", "admin.allow_origins=*"))
	for _, fields := range []string{"Sec-Fetch-Site: cross-site", "Origin: null", "Origin: http://evil.example"} {
		c := dial(t, s.admin)
		c.sendf("GET /info HTTP/1.1\r\nHost: evil.example\r\n%s\r\n\r\n", fields)
		checkVerdict(t, c, fields, true, "")
	}
}

// TestFrontOrigins: an allow list is honoured to the letter, on every kind of answer.
func TestFrontOrigins(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.allow_origins=https://a.example,http://b.example:81", "front.polling_timeout=1"))
	s.call("/push?cname=old&content=x")
	type asked struct {
		*client
		request, origin, want string
	}
	var all []asked
	for _, tc := range []struct{ origin, want string }{
		{"https://a.example", "https://a.example"},
		{"http://b.example:81", "http://b.example:81"},
		{"http://a.example", ""}, {"https://a.example:444", ""}, {"https://A.example", ""}, {"https://a.example.evil.example", ""},
		{"https://evil.example", ""}, {"http://b.example", ""}, {"null", ""}, {"*", ""}, {"", ""},
	} {
		for _, request := range []string{
			"GET /poll?cname=old&seq=1", "GET /poll?cname=new", "GET /poll?cname=new&seq=1", "GET /sub?cname=new&seq=1&cb=f", // the last two wait for their noop
			"GET /stream?cname=new&seq=1", "GET /sse?cname=new", "GET /iframe?cname=new", "GET /ping", "HEAD /stream?cname=new",
			"GET /nothing", "GET /poll", "POST /stream", "OPTIONS /stream", "GET /stream?cname=" + strings.Repeat("x", 300),
		} {
			c := dial(t, s.front)
			field := ""
			if tc.origin != "" {
				field = "Origin: " + tc.origin + "\r\n"
			}
			c.sendf("%s HTTP/1.1\r\nHost: h\r\n%s\r\n", request, field)
			all = append(all, asked{c, request, tc.origin, tc.want})
		}
	}
	for _, a := range all {
		head := strings.ToLower(a.head())
		want := fmt.Sprintf("access-control-allow-origin: %s\r\n", a.want)
		if got := strings.Contains(head, "access-control-allow-origin"); got != (a.want != "") || got && !strings.Contains(head, want) {
			t.Errorf("%s of %q: %s", a.request, a.origin, head)
		}
		if !strings.Contains(head, "vary: origin\r\n") {
			t.Errorf("%s: a cache is not told that the answer depends on Origin: %s", a.request, head)
		}
	}
}
