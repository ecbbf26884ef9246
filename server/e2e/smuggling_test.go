package e2e

import (
	"strings"
	"testing"
)

// hidden is what an attacker wants to be taken for a request of its own.
const hidden = "GET /push?cname=hidden&content=x HTTP/1.1\r\nHost: h\r\n\r\n"

// doubtful are requests that two readers could take for different ones, with the
// status that refuses each.
var doubtful = []struct {
	status  int
	request string
}{
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nabcde"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nabcde"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nabcde"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\nabcde"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nabcde"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nContent\x00-Length: 5\r\n\r\nabcde"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{501, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{501, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
	{501, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nabcde\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabcde\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nabcde\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabcde\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdef\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a\x01\r\nabcde\r\n0\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n"},
	{400, "POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\na"},
	{400, "GET /info HTTP/1.1\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: a b\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\n Host: h\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\nX y: x\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\nX(: x\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\nnothing\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\nX: a\x7fb\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\nX: a\r\n\r\n"},
	{400, "GET /info HTTP/1.1\nHost: h\r\n\r\n"},
	{400, "GET /info HTTP/1.1\r\nHost: h\r\n\n"},
	{400, "GET  /info HTTP/1.1\r\nHost: h\r\n\r\n"},
	{400, "GET /info  HTTP/1.1\r\nHost: h\r\n\r\n"},
	{400, "GET /in fo HTTP/1.1\r\nHost: h\r\n\r\n"},
	{400, "GET /info\tHTTP/1.1\r\nHost: h\r\n\r\n"},
	{400, "GET /info HTTP/1.1 \r\nHost: h\r\n\r\n"},
	{400, "GET /info http/1.1\r\nHost: h\r\n\r\n"},
	{400, "GET /info HTTP/11\r\nHost: h\r\n\r\n"},
	{400, "GET /info\r\n\r\n"},
	{400, "GET info HTTP/1.1\r\nHost: h\r\n\r\n"},
	{400, "\r\n\r\nGET /info HTTP/1.1\r\nHost: h\r\n\r\n"}, // one is skipped
	{400, "\nGET /info HTTP/1.1\r\nHost: h\r\n\r\n"},
	{400, " GET /info HTTP/1.1\r\nHost: h\r\n\r\n"},
	{400, "\x16\x03\x01\x00\xa5\x01\x00"},
	{400, "{}"},
	{505, "GET /info HTTP/1.2\r\nHost: h\r\n\r\n"},
	{505, "GET /info HTTP/0.9\r\nHost: h\r\n\r\n"},
	{505, "GET /info HTTP/2.0\r\nHost: h\r\n\r\n"},
}

// TestSmuggling: each is refused and the connection ends: nothing behind it is
// taken for a request, whole or byte by byte.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, d := range doubtful {
		for _, slow := range []bool{false, true} {
			c := dial(t, s.admin)
			if slow {
				for i := range len(d.request) {
					if _, err := c.Write([]byte{d.request[i]}); err != nil {
						break // refused already
					}
				}
			} else {
				c.sendf("%s%s", d.request, hidden)
			}
			r := c.reply()
			if r.status != d.status || !r.close || len(r.body) < 10 || !strings.HasSuffix(r.body, "\n") {
				t.Errorf("%q slow=%v: got %d %q close=%v, want %d", d.request, slow, r.status, r.body, r.close, d.status)
			}
			c.expectEnd()
		}
	}
	if got := s.call("/check?cname=hidden"); got != "{}\n" {
		t.Errorf("a hidden request was served: %q", got)
	}
}

// TestRefusedAtTheFirstBadByte: without waiting for the rest of the line.
func TestRefusedAtTheFirstBadByte(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, tc := range []struct{ good, bad string }{
		{"", "\x16"}, {"", "\x00"}, {"", "{"}, {"", " "}, {"GET", "\r"}, {"GET", "\t"}, {"GET ", "i"}, {"GET ", " "},
		{"GET /", "\x01"}, {"GET /a", "\r"}, {"GET /a ", "h"}, {"GET /a H", "t"}, {"GET /a HTTP/", "x"}, {"GET /a HTTP/1", "1"},
		{"GET /a HTTP/1.1", "\n"}, {"GET /a HTTP/1.1", " "},
	} {
		c := dial(t, s.front)
		if tc.good != "" {
			s.deliver(c, tc.good)
		}
		c.sendf("%s", tc.bad)
		c.wantError(400, "the request ", true)
	}
}

// TestHarmlessOddities: what is unusual and means one thing only is served.
func TestHarmlessOddities(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, request := range []string{
		"GET http://other.example:80/info HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /info HTTP/1.1\r\nhost:h\r\n\r\n",
		"GET /info HTTP/1.1\r\nHost:\r\n\r\n",
		"GET /info HTTP/1.1\r\nHOST: \t h \t\r\nX:\r\nX: \xe4\t\xff\r\n\r\n",
		"GET /info HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"GET /info?\xc3\xa4|^=x HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /info HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\na=b",
		"POST /info HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n003;a=\"b\"\r\na=b\r\n0;x\r\nT: y\r\n\r\n",
		"GET /info HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b",
	} {
		c := dial(t, s.admin)
		for range 2 {
			c.sendf("%s", request)
			if r := c.reply(); r.status != 200 || r.close {
				t.Errorf("%q: got %d %q close=%v", request, r.status, r.body, r.close)
			}
		}
	}
}
