package e2e

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"icomet/server/access"
	"icomet/server/servertest"
)

// proxyV2 makes a version 2 header by hand.
func proxyV2(command, family byte, rest string) string {
	b := append([]byte(proxyproto.SIGV2), command, family, 0, 0)
	binary.BigEndian.PutUint16(b[14:], uint16(len(rest)))
	return string(b) + rest
}

const (
	v2Source4 = "\x01\x02\x03\x04\x7f\x00\x00\x01\x30\x39\x1f\xa4"
	v2Source6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x30\x39\x1f\xa4"
)

// proxyHeaders are good ones, with the client that they name; "" for the peer.
var proxyHeaders = []struct{ about, header, client string }{
	{"v1 IPv4", "PROXY TCP4 1.2.3.4 127.0.0.1 12345 8100\r\n", "1.2.3.4"},
	{"v1 IPv6", "PROXY TCP6 2001:db8::7 ::1 12345 8100\r\n", "2001:db8::"},
	{"v1 unknown", "PROXY UNKNOWN\r\n", "127.0.0.1"},
	{"v1 unknown with more", "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "127.0.0.1"},
	{"v2 IPv4", proxyV2(0x21, 0x11, v2Source4), "1.2.3.4"},
	{"v2 IPv6", proxyV2(0x21, 0x21, v2Source6), "2001:db8::"},
	{"v2 with extensions", proxyV2(0x21, 0x11, v2Source4+"\x03\x00\x04abcd\x04\x00\x02\x00\x00"), "1.2.3.4"},
	{"v2 with a long one", proxyV2(0x21, 0x11, v2Source4+"\x20\x0f\xa0"+strings.Repeat("x", 0xfa0)), "1.2.3.4"},
	{"v2 local", proxyV2(0x20, 0x00, ""), "127.0.0.1"},
	{"v2 local with addresses", proxyV2(0x20, 0x11, v2Source4), "127.0.0.1"},
	{"v2 unix", proxyV2(0x21, 0x31, strings.Repeat("\x00", 216)), "127.0.0.1"},
}

// TestProxyProtocol: the client is the header's, in one piece, with the request, and
// byte by byte.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	// The proxy is trusted by its address, so that with no source in the header the
	// connection counts for its peer only while a response is open.
	s := startServer(t, withSettings(t, "front.trusted_proxies=127.0.0.1", "front.proxy_protocol=true", "limits.connections_per_ip=100",
		"limits.request_timeout=1m")) // byte by byte takes long on a busy machine
	const request = "GET /stream?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, tc := range proxyHeaders {
		for _, way := range []string{"together", "apart", "bytes"} {
			c := dialPlain(t, s.front)
			switch way {
			case "together":
				c.Precede(tc.header)
				c.secure().sendf("%s", request)
			case "apart":
				s.deliver(c, tc.header[:7])
				s.deliver(c, tc.header[7:])
				s.deliver(c.secure(), request)
			case "bytes":
				if len(tc.header) > 300 {
					c.Close()
					continue
				}
				for i := range tc.header {
					s.deliver(c, tc.header[i:i+1])
				}
				c.secure().sendf("%s", request)
			}
			if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Errorf("%s %s: %s", tc.about, way, head)
			}
			s.wantCounts(tc.client + "=1")
			c.Close()
			s.wantCounts("")
		}
	}
}

// TestProxyProtocolBad: what is no header is answered at the first byte that shows
// it, and nothing behind it is taken for a request.
func TestProxyProtocolBad(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.trusted_proxies=127.0.0.1", "front.proxy_protocol=true"))
	for _, tc := range []struct{ about, header string }{
		{"a request", "GET /stream?cname=a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"a first byte", "G"},
		{"a TLS hello", "\x16\x03\x01"},
		{"PROXI", "PROXI"},
		{"PROXYjunk", "PROXYjunk TCP4 1.2.3.4 127.0.0.1 1 2\r\n"},
		{"an address", "PROXY TCP4 1.2.3 127.0.0.1 1 2\r\n"},
		{"the family", "PROXY TCP4 ::1 ::1 1 2\r\n"},
		{"a port", "PROXY TCP4 1.2.3.4 127.0.0.1 70000 2\r\n"},
		{"a field more", "PROXY TCP4 1.2.3.4 127.0.0.1 1 2 3\r\n"},
		{"a field less", "PROXY TCP4 1.2.3.4 127.0.0.1 1\r\n"},
		{"a bare LF", "PROXY TCP4 1.2.3.4 127.0.0.1 1 2\n\r\n"},
		{"two spaces", "PROXY  TCP4 1.2.3.4 127.0.0.1 1 2\r\n"},
		{"no end", "PROXY TCP4 " + strings.Repeat("1", 100)},
		{"half a signature", "\r\n\r\n\x00\r\nQUIX"},
		{"version 3", proxyV2(0x31, 0x11, v2Source4)},
		{"a command", proxyV2(0x22, 0x11, v2Source4)},
		{"a transport", proxyV2(0x21, 0x13, v2Source4)},
		{"no addresses", proxyV2(0x21, 0x11, v2Source4[:8])},
		{"a length", string(proxyproto.SIGV2) + "\x21\x11\xff\xff"},
		{"unspecified", proxyV2(0x21, 0x00, "")},
	} {
		c := dialPlain(t, s.front)
		c.sendf("%s", tc.header)
		r := c.reply()
		if r.status != 400 || !r.close || !strings.Contains(r.body, "PROXY") {
			t.Errorf("%s: got %d %q", tc.about, r.status, r.body)
		}
		_, _ = io.WriteString(c.Conn, "GET /stream?cname=behind HTTP/1.1\r\nHost: h\r\n\r\n")
		c.expectEnd()
	}
	if n := s.hub.Channels(); n != 0 {
		t.Errorf("%d channels", n)
	}
}

// TestProxyProtocolNotBelieved: from others a header is no header, and without the
// setting nobody's is.
func TestProxyProtocolNotBelieved(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.trusted_proxies=127.0.0.1", "front.proxy_protocol=true", "limits.connections_per_ip=1",
		"admin.trusted_proxies=127.0.0.1"))
	for _, h := range proxyHeaders[:5] {
		for from, addr := range map[string]string{"127.0.0.2": s.front, "127.0.0.1": s.admin} {
			c := dialFrom(t, from, addr) // over TLS it is no more believed within
			c.sendf("%sGET /ping HTTP/1.1\r\nHost: h\r\n\r\n", h.header)
			c.wantError(400, "", true)
		}
	}
	s.wantCounts("")
	c := dialFrom(t, "127.0.0.2", s.front)
	c.get("/ping?cb=").wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":30}\n")
	s.wantCounts("127.0.0.2=1")
}

// TestProxyProtocolDeadline: the header has the time of a request, from connecting.
func TestProxyProtocolDeadline(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.trusted_proxies=127.0.0.1", "front.proxy_protocol=true", "limits.request_timeout=500ms"))
	start := time.Now()
	var all []*client
	for _, part := range []string{"", "P", "PROXY TCP4 1.2.3.4", string(proxyproto.SIGV2), proxyV2(0x21, 0x11, v2Source4)[:20]} {
		c := dialPlain(t, s.front)
		c.sendf("%s", part)
		all = append(all, c)
	}
	for _, c := range all {
		c.wantError(408, "request_timeout", true)
		if took := time.Since(start); took < 450*time.Millisecond || took > 500*time.Millisecond+servertest.Lateness {
			t.Errorf("after %v", took)
		}
	}
	// With the header there the connection has the time that any other has.
	c := dialPlain(t, s.front)
	c.sendf("%s", proxyHeaders[0].header)
	checkFor(t, patience, func() error {
		if time.Since(start) < 2*time.Second {
			return io.ErrNoProgress
		}
		return nil
	})
	c.secure().get("/ping?cb=").wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":30}\n")
}

// TestProxyProtocolLimits: the client that the header names is judged, for the life
// of its connection, on both ports; a trusted one can bring others by
// X-Forwarded-For.
func TestProxyProtocolLimits(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.trusted_proxies=127.0.0.1,9.9.9.9", "front.proxy_protocol=true", "limits.connections_per_ip=1",
		"admin.trusted_proxies=127.0.0.1", "admin.proxy_protocol=true", "admin.allow=1.2.3.4,127.0.0.2"))
	header := func(source string) string { return "PROXY TCP4 " + source + " 127.0.0.1 1 2\r\n" }
	ping := "GET /ping?cb= HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 7.7.7.7\r\n\r\n"
	first := behind(t, s.front, header("1.2.3.4"))
	first.sendf("%s", ping)
	first.reply()
	s.wantCounts("1.2.3.4=1") // while it is idle too, and whatever it forwards
	second := behind(t, s.front, header("1.2.3.4"))
	second.sendf("GET /sub?cname=a HTTP/1.1\r\nHost: h\r\n\r\n")
	if r := second.reply(); r.body != messageText("429", "a", 0, "Too many subscribers")+"\n" || !r.close {
		t.Errorf("got %q %v", r.body, r.close)
	}
	second.expectEnd()
	other := behind(t, s.front, header("1.2.3.5"))
	other.sendf("GET /stream?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\n\r\n")
	other.head()
	other.Close()
	s.wantCounts("1.2.3.4=1")
	first.Close()
	s.wantCounts("")
	chained := behind(t, s.front, header("9.9.9.9"))
	chained.sendf("GET /stream?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6, 7.7.7.7\r\n\r\n")
	chained.head()
	s.wantCounts("7.7.7.7=1")
	chained.Close()
	s.wantCounts("")

	for source, allowed := range map[string]bool{"1.2.3.4": true, "1.2.3.5": false, "127.0.0.2": true, "127.0.0.1": false} {
		c := behind(t, s.admin, header(source))
		c.sendf("GET /info HTTP/1.1\r\nHost: h\r\n\r\n")
		if allowed {
			if r := c.reply(); r.status != 200 {
				t.Errorf("%s: %d %q", source, r.status, r.body)
			}
		} else {
			c.wantError(403, "address", true)
		}
	}
}

// TestProxyProtocolWithoutSource: a header that names no client leaves the proxy itself, on
// both ports; a client's own X-Forwarded-For makes it nobody else.
func TestProxyProtocolWithoutSource(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.trusted_proxies=127.0.0.1", "front.proxy_protocol=true", "limits.connections_per_ip=1",
		"admin.trusted_proxies=127.0.0.1", "admin.proxy_protocol=true", "admin.allow=1.2.3.4"))
	for about, header := range map[string]string{
		"UNKNOWN": "PROXY UNKNOWN\r\n", "UNKNOWN with more": "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
		"LOCAL": proxyV2(0x20, 0x00, ""), "LOCAL with addresses": proxyV2(0x20, 0x11, v2Source4), "unix": proxyV2(0x21, 0x31, strings.Repeat("\x00", 216)),
	} {
		for _, forwarded := range []string{"1.2.3.4", "9.9.9.9, 1.2.3.4", "1.2.3.4, 127.0.0.1"} {
			c := behind(t, s.front, header)
			c.sendf("GET /stream?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: %s\r\n\r\n", forwarded)
			c.head()
			s.wantCounts("127.0.0.1=1")
			c.Close()
			s.wantCounts("")
			c = behind(t, s.admin, header)
			c.sendf("GET /info HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: %s\r\n\r\n", forwarded)
			if r := c.reply(); r.status != 403 {
				t.Errorf("%s, forwarded for %s: %d %q", about, forwarded, r.status, r.body)
			}
			c.Close()
		}
		// What is known of the connection outlives a response.
		c := behind(t, s.front, header)
		for range 2 {
			c.sendf("GET /sub?cname=b&seq=1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
			s.wantCounts("127.0.0.1=1")
			s.hub.Close([]byte("b"))
			c.reply()
			s.wantCounts("")
		}
		c.Close()
	}
}

// FuzzProxyHeader: cutting a header anywhere makes no difference, and what is read
// as one is wholly one.
func FuzzProxyHeader(f *testing.F) {
	for _, h := range proxyHeaders {
		f.Add([]byte(h.header + "GET / HTTP/1.1\r\n"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := access.ProxyHeaderLen(b)
		for i := range min(len(b), 200) {
			m, early := access.ProxyHeaderLen(b[:i])
			if early != nil && err == nil || m != 0 && (m != n || err != nil) {
				t.Fatalf("%q at %d: %d %v, whole: %d %v", b, i, m, early, n, err)
			}
		}
		if err != nil || n == 0 || n > len(b) {
			return
		}
		if source, err := access.ParseProxyHeader(b[:n]); err == nil && (source.Is4In6() || source.Zone() != "") {
			t.Errorf("%q: %v", b[:n], source)
		}
		if _, err := access.ParseProxyHeader(b[:n-1]); err == nil {
			t.Errorf("%q: read without its last byte", b[:n])
		}
	})
}
