package e2e

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"icomet/channel/redis/redistest"
	"icomet/internal/selfsigned"
	"icomet/server/config"
	"icomet/server/servertest"
)

// TestHTTPOnTLSPort: who speaks plain HTTP is told so in plain, unless on the plain address.
// Strict-Transport-Security is in neither answer.
func TestHTTPOnTLSPort(t *testing.T) {
	t.Parallel()
	plain := fmt.Sprint("127.0.0.1:", redistest.Port(t))
	s := startServer(t, overTLS(func(c *config.Config) {
		c.Front.TLS.ListenPlain = plain
		c.Front.TLS.StrictTransportSecurity, c.Admin.TLS.StrictTransportSecurity = "max-age=1", "max-age=2"
	}))
	for _, addr := range []string{s.front, s.admin} {
		c := dialPlain(t, addr)
		c.sendf("%s", pingRequest)
		r := c.reply()
		if r.status != 400 || !r.close || !strings.Contains(r.body, "https") || r.header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%d %q %v", r.status, r.body, r.header)
		}
		c.expectEnd()
	}
	c := dialPlain(t, plain)
	c.sendf("%s", pingRequest)
	if r := c.reply(); r.status != 200 || r.header.Get("Strict-Transport-Security") != "" {
		t.Errorf("on the plain address: %d %q %v", r.status, r.body, r.header)
	}
}

// TestCertificatesReloaded: newcomers get the new certificate, who is there stays.
func TestCertificatesReloaded(t *testing.T) {
	eachVersion(t, nil, func(t *testing.T, s *testServer, secured *tls.Config) {
		c := dialTLS(t, s.front, secured)
		c.ask("GET /stream?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\n\r\n").head()
		ca, err := selfsigned.New("another")
		if err != nil {
			t.Fatal(err)
		}
		issued, err := ca.Server(secured.ServerName)
		if err != nil {
			t.Fatal(err)
		}
		certificate, key, err := issued.Write(t.TempDir(), "new")
		if err != nil {
			t.Fatal(err)
		}
		s.reload(overTLS(func(cfg *config.Config) { cfg.Front.TLS.Certificates = []string{certificate + ":" + key} }))
		if nc, err := tls.Dial("tcp", s.front, secured); err == nil {
			nc.Close()
			t.Error("the old certificate is still shown")
		}
		trusting := secured.Clone()
		trusting.RootCAs = ca.Pool()
		dialTLS(t, s.front, trusting).ask(pingRequest).wantReply(200, pingAnswer)
		s.callTLS("/push?cname=a&content=hi")
		if got := c.chunk(); got != messageText("data", "a", 1, "hi")+"\n" {
			t.Errorf("who was there gets %q", got)
		}
	})
}

// TestStrictTransport: the field is in every answer over TLS, of whatever kind.
func TestStrictTransport(t *testing.T) {
	strict := func(c *config.Config) {
		c.Front.TLS.StrictTransportSecurity, c.Admin.TLS.StrictTransportSecurity = "max-age=1", "max-age=2"
		c.Front.AllowOrigins = []string{"https://a.example"}
	}
	eachVersion(t, strict, func(t *testing.T, s *testServer, secured *tls.Config) {
		for addr, want := range map[string]string{s.front: "max-age=1", s.admin: "max-age=2"} {
			for _, request := range []string{
				"GET /ping HTTP/1.1\r\n", "GET /ping?cb= HTTP/1.0\r\n", "HEAD /ping HTTP/1.1\r\n", "OPTIONS /sub HTTP/1.1\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n",
				"GET /nowhere HTTP/1.1\r\n", "PUT /sub HTTP/1.1\r\n", "GET /sub?cname=a HTTP/1.1\r\n", "GET /sub HTTP/1.1\r\n", "GET /poll?cname=a HTTP/1.1\r\nOrigin: https://b.example\r\n",
				"GET /stream?cname=a HTTP/1.1\r\n", "GET /sse?cname=a HTTP/1.1\r\nOrigin: https://a.example\r\n", "GET /iframe?cname=a HTTP/1.1\r\n", "GET /stream?cname=a HTTP/1.0\r\n",
				"GET /ws?cname=a HTTP/1.1\r\n" + servertest.WebSocketFields, "GET /ws?cname=a HTTP/1.1\r\nUpgrade: websocket\r\n",
				"GET /icomet.js HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", "GET /info HTTP/1.1\r\n", "GET /metrics HTTP/1.1\r\n", "GET /stats HTTP/1.1\r\n", "GET /psub HTTP/1.1\r\n",
				"GET /dashboard HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\n", "GET /ready HTTP/1.1\r\n", "BAD\r\n", "GET /ping HTTP/1.1\r\nHost: a\r\n",
				"POST /push?cname=a&content=x HTTP/1.1\r\nContent-Length: 9999999\r\n", "POST /push HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n",
			} {
				c := dialTLS(t, addr, secured).ask(request + "Host: h\r\n\r\n")
				head := c.head()
				if strings.HasPrefix(head, "HTTP/1.1 100 ") {
					c.ask("cname")
					head = c.head()
				}
				if n := strings.Count(head, "\r\nStrict-Transport-Security: "+want+"\r\n"); n != 1 {
					t.Errorf("%q: %d fields in\n%s", request, n, head)
				}
				c.Close()
			}
		}
	})
}
