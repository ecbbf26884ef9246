package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// client connects from the given loopback address.
func (b *behind) client(from string, http2 bool) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, n, a string) (net.Conn, error) { return dialer.DialContext(ctx, n, a) },
		TLSClientConfig:   &tls.Config{RootCAs: b.roots},
		ForceAttemptHTTP2: http2,
	}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 2 * startLimit}
}

// get reads an answer that ends.
func (b *behind) get(from, path string, header http.Header) (proto, body string, err error) {
	req, err := http.NewRequest("GET", b.url+path, nil)
	if err != nil {
		return "", "", err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	client := b.client(from, false)
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.Proto, string(data), err
}

// stream is an open response that comes through the proxy.
type stream struct {
	resp  *http.Response
	lines *bufio.Scanner
}

func (b *behind) stream(from, path string, http2 bool, header http.Header) *stream {
	b.t.Helper()
	req, err := http.NewRequest("GET", b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := b.client(from, http2).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]; resp.StatusCode != 200 || resp.Proto != want {
		b.t.Fatalf("%s: %s %s", path, resp.Proto, resp.Status)
	}
	return &stream{resp, bufio.NewScanner(resp.Body)}
}

// next reads the next line that is not empty.
func (s *stream) next(t *testing.T) string {
	t.Helper()
	for s.lines.Scan() {
		if s.lines.Text() != "" {
			return s.lines.Text()
		}
	}
	t.Fatalf("the stream has ended: %v", s.lines.Err())
	return ""
}

func (b *behind) push(content string) {
	b.t.Helper()
	if got := fetch(b.t, b.admin+"/push?cname=a&content="+content); got != "{\"type\":\"ok\"}\n" {
		b.t.Fatalf("push: %q", got)
	}
}

func (b *behind) wantSubscribers(n int) {
	b.t.Helper()
	checkFor(b.t, startLimit, func() error {
		if got := fetch(b.t, b.admin+"/info?cname=a"); !strings.Contains(got, fmt.Sprintf(`"subscribers": %d}`, n)) {
			return fmt.Errorf("%s, want %d", got, n)
		}
		return nil
	})
}

// TestProxies runs the example files of docs/proxy with the real proxies.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, proxy := range exampleProxies {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			b := startBehind(t, proxy, "90s", "limits.connections_per_ip = 2")
			t.Run("streams", b.streams)
			t.Run("addresses", b.addresses)
			t.Run("log", b.logged)
		})
		t.Run(proxy+"/silence", func(t *testing.T) {
			t.Parallel()
			startBehind(t, proxy, "3s", "front.polling_timeout = 1").silence(t)
		})
	}
}

// streams: each message arrives before the next is published, and a client that leaves is
// no longer counted.
func (b *behind) streams(t *testing.T) {
	b = b.in(t)
	seq := 1
	for _, http2 := range b.versions {
		for _, transport := range []string{"stream", "sse", "iframe"} {
			s := b.stream("127.0.0.2", fmt.Sprintf("/%s?cname=a&seq=%d", transport, seq), http2, nil)
			b.wantSubscribers(1)
			for range 3 {
				b.push("immediately")
				for want := fmt.Sprintf(`"seq":%d,"content":"immediately"`, seq); ; {
					if line := s.next(t); strings.Contains(line, want) {
						break // before it: the preamble, an id
					}
				}
				seq++
			}
			s.resp.Body.Close()
			b.wantSubscribers(0)
		}
	}
	polled := make(chan string, 1)
	go func() {
		_, body, err := b.get("127.0.0.2", fmt.Sprintf("/sub?cname=a&seq=%d", seq), nil)
		polled <- fmt.Sprint(body, err)
	}()
	b.wantSubscribers(1)
	b.push("polled")
	if got := <-polled; !strings.Contains(got, `"content":"polled"`) {
		t.Errorf("the poll got %s", got)
	}
	b.wantSubscribers(0)
}

// in returns b for a subtest.
func (b *behind) in(t *testing.T) *behind {
	part := *b
	part.t = t
	return &part
}

// addresses: clients are counted by their own addresses, which they cannot forge.
func (b *behind) addresses(t *testing.T) {
	b = b.in(t)
	for i, from := range []string{"127.0.0.3", "127.0.0.4", "127.0.0.1"} { // the last is the proxy's own address
		for n := range 4 {
			claim := http.Header{"X-Forwarded-For": {fmt.Sprintf("198.51.100.%d", n)}, "Forwarded": {fmt.Sprintf("for=198.51.100.%d", n)}}
			s := b.stream(from, "/stream?cname=a&seq=99999", false, claim)
			want := `{"type":"next_seq"`
			if n >= 2 {
				want = `{"type":"429"`
			}
			if line := s.next(t); !strings.HasPrefix(line, want) {
				t.Errorf("connection %d from %s: %s", n, from, line)
			}
			if n < 2 {
				b.wantSubscribers(2*i + n + 1)
			}
		}
	}
}

// logged: the proxy's log has the request with the client's address, but not the token.
func (b *behind) logged(t *testing.T) {
	b = b.in(t)
	if _, body, err := b.get("127.0.0.5", "/sub?cname=a&token=0123secret4567", nil); err != nil || !strings.Contains(body, "next_seq") {
		t.Fatalf("%q %v", body, err)
	}
	checkFor(t, startLimit, func() error {
		for line := range strings.Lines(b.log()) {
			if strings.Contains(line, "127.0.0.5") && (strings.Contains(line, "GET /sub ") || strings.Contains(line, `"uri":"/sub"`)) {
				return nil
			}
		}
		return fmt.Errorf("the request is not logged:\n%s", b.log())
	})
	if log := b.log(); strings.Contains(log, "secret") {
		t.Errorf("the token is in the proxy's log:\n%s", log)
	}
}

// silence: with a heartbeat period of a third of the proxy's timeout, as in the example,
// a stream without messages stays open.
func (b *behind) silence(t *testing.T) {
	b = b.in(t)
	s := b.stream("127.0.0.2", "/stream?cname=a&seq=1", false, nil)
	for n := range 5 {
		if line := s.next(t); line != fmt.Sprintf(`{"type":"noop","cname":"a","seq":%d,"content":""}`, n) {
			t.Fatalf("got %s", line)
		}
	}
	b.push("after")
	if line := s.next(t); !strings.Contains(line, "after") {
		t.Errorf("got %s", line)
	}
}
