package torture

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// answerTLS is what a request over TLS gets, up to the end of the connection, which is close_notify.
// preface goes out in front of the hello.
func answerTLS(from, addr, preface, request string) (string, error) {
	nc, err := dialFrom(from, addr, 0)
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(nc, preface); err != nil {
		return "", err
	}
	c, err := secureOn(nc, clientTLS(tls.VersionTLS13))
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	if err == nil && !c.NetConn().(*servertest.Records).Alerted() {
		err = errors.New("it ends without close_notify")
	}
	return string(b), err
}

// TestRefusedOverTLS: whoever is over a limit, or may not use the admin port, is told so as in
// plain: behind its handshake, and before a close_notify.
func TestRefusedOverTLS(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.Binary, "LIMITS_CONNECTIONS_PER_IP=2")
	for i := range 4 {
		s, err := subscribeTLS("", d.front, "some", clientTLS(tlsVersions[i%2]))
		if err != nil {
			t.Fatal(err)
		}
		defer s.nc.Close()
		if i < 2 {
			if s.told {
				t.Errorf("subscriber %d is refused", i)
			}
			continue
		}
		if ms, err := s.read(); err != nil || ms[0].Type != "429" {
			t.Errorf("subscriber %d gets %v, %v", i, ms, err)
		}
		if _, err := s.read(); err != io.EOF {
			t.Errorf("after a 429: %v, want a clean end", err)
		}
	}
	d.waitStats(patience, func(s stats) error {
		if s.Connections.Front != 2 || s.Subscribers != 2 {
			return fmt.Errorf("%d connections, %d subscribers, want 2", s.Connections.Front, s.Subscribers)
		}
		return nil
	})
	d = startTLS(t, servertest.Binary, "LIMITS_CONNECTIONS=1")
	s, err := subscribeTLS("", d.front, "some", clientTLS(tls.VersionTLS13))
	if err != nil {
		t.Fatal(err)
	}
	defer s.nc.Close()
	for range 3 { // who is refused leaves room for the next to be refused
		answer, err := answerTLS("", d.front, "", pingRequest)
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 503 ") || !strings.Contains(answer, "limits.connections") {
			t.Errorf("over the cap: %q, %v", answer, err)
		}
	}
	d.waitStats(patience, func(s stats) error {
		if n := s.Closed["connection_limit"]; n != 3 {
			return fmt.Errorf("%d are counted as over the cap, want 3", n)
		}
		return nil
	})
	d = start(t, servertest.Binary, "", "ADMIN_TLS_CERTIFICATES="+servertest.Certificate(), "ADMIN_ALLOW=127.0.0.2")
	for from, want := range map[string]string{"127.0.0.2": "HTTP/1.1 200 ", "127.0.0.3": "HTTP/1.1 403 "} {
		answer, err := answerTLS(from, d.admin, "", "GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if err != nil || !strings.HasPrefix(answer, want) {
			t.Errorf("on the admin port %s gets %q, %v", from, answer, err)
		}
	}
}

// TestPlacesBySource: behind a proxy that says so, the places of handshakes are counted by the
// clients that it speaks for.
func TestPlacesBySource(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.Binary, "FRONT_TLS_HANDSHAKES=4", "FRONT_TRUSTED_PROXIES=127.0.0.0/8", "FRONT_PROXY_PROTOCOL=true")
	hello := string(helloOf(t, clientTLS(tls.VersionTLS13)))
	header := func(client int) string { return fmt.Sprintf("PROXY TCP4 192.0.2.%d 198.51.100.1 1 2\r\n", client) }
	greedy := make(chan error, 50)
	for range cap(greedy) {
		go func() {
			_, err := beginWith(d.front, header(1)+hello, false)
			greedy <- err
		}()
	}
	d.waitStats(patience, func(s stats) error {
		if front := s.TLS["front"]; front.InFlight != 2 || front.Waiting != cap(greedy)-2 {
			return fmt.Errorf("%d in flight, %d waiting: half of 4 places are for one client", front.InFlight, front.Waiting)
		}
		return nil
	})
	for client := 2; client < 6; client++ {
		answer, err := answerTLS("", d.front, header(client), pingRequest)
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Errorf("another client gets %q, %v", answer, err)
		}
	}
	if front := d.stats().TLS["front"]; front.Waiting == 0 || front.Handshakes["ok"] != 4 {
		t.Errorf("others had to wait for the greedy one: %d still wait, handshakes %v", front.Waiting, front.Handshakes)
	}
	for range cap(greedy) {
		if err := <-greedy; err != nil {
			t.Error(err)
		}
	}
}
