package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
)

// openResponses are one of each kind: how it is asked for, and on which port.
var openResponses = []struct {
	path, fields string
	admin        bool
}{
	{"/sub?cname=a&seq=1", "", false}, {"/poll?cname=a&seq=1", "", false}, {"/stream?cname=a&seq=1", "", false},
	{"/sse?cname=a&seq=1", "", false}, {"/iframe?cname=a&seq=1", "", false}, {"/ws?cname=a&seq=1", servertest.WebSocketFields, false},
	{"/stream?cname=a&seq=1&cname=b&seq=1", "", false}, {"/sub?cname=a&seq=1&cname=b&seq=1", "", false},
	{"/psub", "", true}, {"/dashboard/feed", "", true},
}

// TestHalfRecordOfASubscriber: a part of a record has the time of a request, whatever is open
// on the connection, and who makes it whole in time stays. A record begun on an idle connection
// keeps nobody from leaving, or from being answered, either.
func TestHalfRecordOfASubscriber(t *testing.T) {
	limit := func(c *config.Config) { c.Limits.RequestTimeout = config.Duration(500 * time.Millisecond) }
	eachVersion(t, limit, func(t *testing.T, s *testServer, secured *tls.Config) {
		var late, whole []*tlsClient
		for _, r := range openResponses {
			addr := s.front
			if r.admin {
				addr = s.admin
			}
			for _, list := range []*[]*tlsClient{&late, &whole} {
				c := dialTLS(t, addr, secured).ask("GET " + r.path + " HTTP/1.1\r\nHost: h\r\n" + r.fields + "\r\n")
				*list = append(*list, c)
				if !strings.HasPrefix(r.path, "/sub") && !strings.HasPrefix(r.path, "/poll") {
					c.head()
				}
			}
		}
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 16) })
		started := time.Now()
		for i, c := range late {
			half := c.records(string(servertest.AppendFrame(nil, servertest.FrameFin|servertest.FramePing, "x")))
			c.sendf("%s", half[:len(half)/2])
			half = whole[i].records("") // which says nothing
			whole[i].sendf("%s", half[:len(half)/2])
			whole[i].sendf("%s", half[len(half)/2:])
		}
		for i, c := range late {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			_, err := io.Copy(io.Discard, c.R)
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
				t.Errorf("GET %s stays open with half a record", openResponses[i].path)
			}
		}
		if took := time.Since(started); took > 500*time.Millisecond+servertest.Lateness {
			t.Errorf("the last was ended after %v", took)
		}
		checkFor(t, patience, func() error {
			if n := s.closedBy(reactor.ReasonRequestTimeout); n != uint64(len(late)) {
				return fmt.Errorf("%d were closed by the deadline, want %d", n, len(late))
			}
			return s.hasSubscribers("a", 8)
		})
	})
}

// TestDribbledRecordOfARequest: a request whose record was dribbled has no second time for the
// rest of it.
func TestDribbledRecordOfARequest(t *testing.T) {
	const limit = 2 * time.Second
	slow := func(c *config.Config) { c.Limits.RequestTimeout = config.Duration(limit) }
	eachVersion(t, slow, func(t *testing.T, s *testServer, secured *tls.Config) {
		c := dialTLS(t, s.front, secured)
		record := c.records(pingRequest[:10])
		started := time.Now()
		c.sendf("%s", record[:7])
		time.Sleep(limit / 2) // the client's own slowness
		c.sendf("%s", record[7:])
		c.wantError(408, "request_timeout", true)
		if took := time.Since(started); took > limit+limit/4+servertest.Lateness {
			t.Errorf("the answer came after %v", took)
		}
	})
}

// TestSharedAnswersAndStrictTransport: a poll in plain and one over TLS that wait for the same
// message get each its own field.
func TestSharedAnswersAndStrictTransport(t *testing.T) {
	t.Parallel()
	plain := fmt.Sprint("127.0.0.1:", redistest.Port(t))
	s := startServer(t, overTLS(func(c *config.Config) {
		c.Front.TLS.ListenPlain = plain
		c.Front.TLS.StrictTransportSecurity = "max-age=1"
	}))
	const poll = "GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, secureFirst := range []bool{true, false} {
		var polls [4]*client
		for i := range polls {
			if i%2 == 0 == secureFirst {
				polls[i] = dialTLS(t, s.front, servertest.ClientTLS()).ask(poll).client
			} else {
				polls[i] = dialPlain(t, plain)
				polls[i].sendf("%s", poll)
			}
			checkFor(t, patience, func() error { return s.hasSubscribers("a", i+1) })
		}
		s.callTLS("/push?cname=a&content=x")
		for i, c := range polls {
			want := ""
			if i%2 == 0 == secureFirst {
				want = "max-age=1"
			}
			if r := c.reply(); r.status != 200 || r.header.Get("Strict-Transport-Security") != want {
				t.Errorf("poll %d: %d %v, want %q", i, r.status, r.header, want)
			}
		}
		s.callTLS("/clear?cname=a")
	}
}
