package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
)

// The tests here are over TLS in every run; with ICOMET_TEST_TLS all of the package is.

// tlsVersions are the versions that the server speaks.
var tlsVersions = map[string]uint16{"1.3": tls.VersionTLS13, "1.2": tls.VersionTLS12}

// overTLS has both ports speak TLS of either version.
func overTLS(edit func(*config.Config)) func(*config.Config) {
	return func(cfg *config.Config) {
		cfg.Front.TLS.Certificates, cfg.Front.TLS.MinVersion = []string{servertest.Certificate()}, "1.2"
		cfg.Admin.TLS = cfg.Front.TLS
		if edit != nil {
			edit(cfg)
		}
	}
}

// eachVersion runs f on a server of its own for each version.
func eachVersion(t *testing.T, edit func(*config.Config), f func(t *testing.T, s *testServer, secured *tls.Config)) {
	t.Parallel()
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := servertest.ClientTLS()
			client.MinVersion, client.MaxVersion = version, version
			f(t, startServer(t, overTLS(edit)), client)
		})
	}
}

// tlsClient is a client over TLS whose records the test can send itself.
type tlsClient struct {
	*client // its bytes are those of TCP
	tls     *tls.Conn
	held    *heldConn
	in      *servertest.Records
}

// heldConn keeps what is written while hold is set.
type heldConn struct {
	net.Conn
	hold bool
	kept bytes.Buffer
}

func (h *heldConn) Write(p []byte) (int, error) {
	if h.hold {
		return h.kept.Write(p)
	}
	return h.Conn.Write(p)
}

// dialTLS does the handshake.
func dialTLS(t *testing.T, addr string, config *tls.Config) *tlsClient {
	t.Helper()
	c := dialPlain(t, addr)
	in := &servertest.Records{Conn: c.TCPConn}
	held := &heldConn{Conn: in}
	secured := tls.Client(held, config)
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := secured.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	c.R.Reset(secured)
	return &tlsClient{client: c, tls: secured, held: held, in: in}
}

// records are the parts, each in a record of its own, which are not sent.
func (c *tlsClient) records(parts ...string) string {
	c.t.Helper()
	c.held.hold = true
	for _, part := range parts {
		if _, err := io.WriteString(c.tls, part); err != nil {
			c.t.Fatal(err)
		}
	}
	c.held.hold = false
	defer c.held.kept.Reset()
	return c.held.kept.String()
}

// ask sends text in one record.
func (c *tlsClient) ask(text string) *tlsClient {
	c.t.Helper()
	c.sendf("%s", c.records(text))
	return c
}

const (
	pingRequest = "GET /ping?cb= HTTP/1.1\r\nHost: h\r\n\r\n"
	pingAnswer  = "{\"type\":\"ping\",\"sub_timeout\":30}\n"
)

// TestRecordsInPieces: how requests are cut into records, and records into segments, makes
// no difference.
func TestRecordsInPieces(t *testing.T) {
	long := func(c *config.Config) { c.Limits.RequestTimeout = config.Duration(patience) } // for busy machines
	eachVersion(t, long, func(t *testing.T, s *testServer, secured *tls.Config) {
		c := dialTLS(t, s.front, secured)
		for i := 1; ; i++ { // a record in two segments, cut everywhere
			record := c.records(pingRequest)
			if i == len(record) {
				c.sendf("%s", record)
				c.wantReply(200, pingAnswer)
				break
			}
			s.deliver(c.client, record[:i])
			s.deliver(c.client, record[i:])
			c.wantReply(200, pingAnswer)
		}
		single := c.records(strings.Split(pingRequest, "")...) // a byte in each record
		c.sendf("%s", single)
		c.wantReply(200, pingAnswer)
		two := c.records(pingRequest+pingRequest[:20], pingRequest[20:])
		for i := range len(two) { // a byte in each segment
			s.deliver(c.client, two[i:i+1])
		}
		c.wantReply(200, pingAnswer)
		c.wantReply(200, pingAnswer)
		c.ask(strings.Repeat(pingRequest, 300)) // many in one record
		for range 300 {
			c.wantReply(200, pingAnswer)
		}
		// Empty records, a few at a time, say nothing.
		c.sendf("%s", c.records("", "", pingRequest[:5], "", pingRequest[5:]))
		c.wantReply(200, pingAnswer)
		big := strings.Repeat("x", 900_000) // more than one record, and than one read
		admin := dialTLS(t, s.admin, secured).ask("POST /push?cname=a HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 900008\r\n\r\ncontent=" + big)
		admin.wantReply(200, "{\"type\":\"ok\"}\n")
		c.ask("GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\n\r\n")
		c.wantReply(200, "["+messageText("data", "a", 1, big)+"]\n")
	})
}

// TestFramesInRecords: frames of a WebSocket, cut into records and segments anywhere.
func TestFramesInRecords(t *testing.T) {
	eachVersion(t, nil, func(t *testing.T, s *testServer, secured *tls.Config) {
		c := dialTLS(t, s.front, secured)
		c.ask("GET /ws?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\n" + servertest.WebSocketFields + "\r\n")
		if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
			t.Fatal(head)
		}
		frame := string(servertest.AppendFrame(nil, servertest.FrameFin|servertest.FramePing, "are you there"))
		for i := 1; i < len(frame); i++ {
			records := c.records(frame[:i], frame[i:]+frame)
			s.deliver(c.client, records[:len(records)/3])
			s.deliver(c.client, records[len(records)/3:])
			for range 2 {
				if first, text, err := c.Frame(); err != nil || first != servertest.FrameFin|servertest.FramePong || text != "are you there" {
					t.Fatalf("cut at %d: %#x %q %v", i, first, text, err)
				}
			}
		}
		s.callTLS("/push?cname=a&content=hi")
		if text, err := c.Text(); err != nil || text != messageText("data", "a", 1, "hi") {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// callTLS makes an admin request, whatever the run is over.
func (s *testServer) callTLS(path string) {
	s.t.Helper()
	c := dialPlain(s.t, s.admin)
	if err := c.SecureWith(servertest.ClientTLS()); err != nil {
		s.t.Fatal(err)
	}
	if status, body := c.get(path).response(); status != 200 {
		s.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	c.Close()
}

// TestDribbledRecord: a part of a record has the time of a request, which more parts do not
// renew; the answer is a record. In front of the hello there is no answer.
func TestDribbledRecord(t *testing.T) {
	limit := func(c *config.Config) { c.Limits.RequestTimeout = config.Duration(500 * time.Millisecond) }
	eachVersion(t, limit, func(t *testing.T, s *testServer, secured *tls.Config) {
		started := time.Now()
		c := dialTLS(t, s.front, secured)
		c.ask(pingRequest).wantReply(200, pingAnswer)
		record, done := c.records(pingRequest), make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for i := range len(record) - 1 {
				if _, err := c.Write([]byte(record[i : i+1])); err != nil {
					return
				}
				<-tick.C
			}
		}()
		c.wantError(408, "request_timeout", true)
		c.wantCleanEnd()
		if took := time.Since(started); took < 400*time.Millisecond || took > 500*time.Millisecond+servertest.Lateness {
			t.Errorf("the answer came after %v", took)
		}
		<-done
		// Parts of one request in whole records are no less late.
		c = dialTLS(t, s.front, secured).ask(pingRequest[:10])
		c.wantError(408, "request_timeout", true)
	})
}

// wantCleanEnd wants close_notify, and nothing before it.
func (c *tlsClient) wantCleanEnd() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(c.R); err != nil || len(b) > 0 || !c.in.Alerted() {
		c.t.Errorf("at the end: %q, %v, close_notify: %v", b, err, c.in.Alerted())
	}
}

// TestEndsSayGoodbye: however a connection ends in an orderly way, close_notify is the last.
func TestEndsSayGoodbye(t *testing.T) {
	quick := func(c *config.Config) {
		c.Limits.IdleTimeout = config.Duration(time.Second)
		c.Limits.DrainTimeout = config.Duration(time.Second)
	}
	eachVersion(t, quick, func(t *testing.T, s *testServer, secured *tls.Config) {
		open := func(path string) *tlsClient {
			c := dialTLS(t, s.front, secured).ask("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n")
			if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Fatal(head)
			}
			return c
		}
		c := dialTLS(t, s.front, secured).ask("GET /ping?cb= HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		c.wantReply(200, pingAnswer)
		c.wantCleanEnd()
		c = dialTLS(t, s.front, secured).ask("BAD\r\n\r\n")
		c.wantError(400, "", true)
		c.wantCleanEnd()
		dialTLS(t, s.front, secured).wantCleanEnd() // idle
		for _, path := range []string{"/stream?cname=a&seq=1", "/ping?cb="} {
			c = open(path)
			if path == "/ping?cb=" {
				_, _ = io.ReadFull(c.R, make([]byte, len(pingAnswer)))
			}
			_ = c.tls.CloseWrite() // the client says it
			c.wantCleanEnd()
		}
		c = open("/stream?cname=a&seq=1")
		_ = c.TCPConn.CloseWrite() // the client just goes
		_, _ = io.Copy(io.Discard, c.R)
		checkFor(t, patience, s.checkIdle)

		var all []*tlsClient
		for _, path := range []string{"/stream?cname=a&seq=1", "/sse?cname=a&seq=1", "/iframe?cname=a&seq=1", "/stream?cname=a&seq=1&cname=b&seq=1"} {
			c = open(path)
			if strings.HasPrefix(path, "/sse") || strings.HasPrefix(path, "/iframe") {
				c.chunk()
			}
			all = append(all, c)
		}
		all = append(all, dialTLS(t, s.front, secured))
		poll := dialTLS(t, s.front, secured).ask("GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\n\r\n")
		socket := dialTLS(t, s.front, secured).ask("GET /ws?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\n" + servertest.WebSocketFields + "\r\n")
		socket.head()
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 6) })
		s.Shutdown()
		if r := poll.reply(); r.status != 200 || !strings.Contains(r.body, `"noop"`) {
			t.Errorf("the poll gets %d %q", r.status, r.body)
		}
		if first, text, err := socket.Frame(); err != nil || first != servertest.FrameFin|servertest.FrameClose || !strings.HasPrefix(text, "\x03\xe9") {
			t.Errorf("the WebSocket gets %#x %q, %v", first, text, err)
		}
		for _, c := range append(all, poll, socket) {
			c.wantCleanEnd()
		}
	})
}

// TestBadRecords: what is no record, or a wrong one, ends the connection with an alert, also
// of a subscriber.
func TestBadRecords(t *testing.T) {
	eachVersion(t, nil, func(t *testing.T, s *testServer, secured *tls.Config) {
		for about, spoil := range map[string]func(string) string{
			"a bit":    func(r string) string { return r[:len(r)-1] + string(r[len(r)-1]^1) },
			"the type": func(r string) string { return "\x18" + r[1:] },
			"length":   func(r string) string { return r[:3] + "\xff\xff" + r[5:] },
			"replayed": func(r string) string { return r + r },
			"plain":    func(string) string { return pingRequest },
		} {
			for _, path := range []string{"", "/stream?cname=a&seq=1"} {
				c := dialTLS(t, s.front, secured)
				if path != "" {
					c.ask("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n").head()
				}
				before := s.closedBy(reactor.ReasonTLS)
				c.sendf("%s", spoil(c.records(pingRequest)))
				b, err := io.ReadAll(c.R)
				if about == "replayed" && path == "" && !strings.HasSuffix(string(b), pingAnswer) {
					t.Errorf("%s: the good record is answered %q", about, b)
				}
				if err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
					t.Errorf("%s %s: %q, %v, want an alert", about, path, b, err)
				}
				checkFor(t, patience, func() error {
					if n := s.closedBy(reactor.ReasonTLS); n != before+1 {
						return fmt.Errorf("%s %s: %d are counted, want %d", about, path, n, before+1)
					}
					return nil
				})
			}
		}
		checkFor(t, patience, s.checkIdle)
	})
}
