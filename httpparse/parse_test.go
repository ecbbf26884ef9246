package httpparse

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestEagerRefusal: a request line is refused at its first wrong byte, not at its end,
// because the client may be waiting for the answer.
func TestEagerRefusal(t *testing.T) {
	for _, c := range []struct {
		line string // the last byte is the wrong one
		want *Error
	}{
		{"\x16", ErrBadRequestLine},
		{"\rG", ErrBadRequestLine},
		{"\r\r", ErrBadRequestLine},
		{"\n", ErrBadRequestLine},
		{"\r\n\r", ErrBadRequestLine}, // only one is skipped
		{"\r\n\n", ErrBadRequestLine},
		{"\r\n ", ErrBadRequestLine},
		{"\r\nGET / h", ErrBadRequestLine},
		{"GET /#", ErrFragment},
		{"GET /aaaaaaaaaaaaaaaaaaaaaa?b#", ErrFragment},
		{"GET http://a#", ErrFragment},
		{" ", ErrBadRequestLine},
		{"\x00", ErrBadRequestLine},
		{"GET\t", ErrBadRequestLine},
		{"GET  ", ErrBadRequestLine},
		{"GET /\r", ErrBadRequestLine},
		{"GET /\n", ErrBadRequestLine},
		{"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x01", ErrBadRequestLine},
		{"GET / h", ErrBadRequestLine},
		{"GET / HTTPS", ErrBadRequestLine},
		{"GET / HTTP/x", ErrBadRequestLine},
		{"GET / HTTP/1.10", ErrBadRequestLine},
		{"GET / HTTP/1.1\n", ErrBadRequestLine},
		{"GET / HTTP/1.1\rX", ErrBadRequestLine},
		{"GET / HTTP/2.0\r\n", ErrVersion},
		{"GET x", ErrBadTarget},
		{"GET httpx", ErrBadTarget},
		{"GET *", ErrBadTarget},
		{"OPTIONS *x", ErrBadTarget},
		{strings.Repeat("A", maxMethod+1), ErrLongMethod},
	} {
		var r Request
		b := []byte(c.line)
		for n := range b {
			if err := Parse(&r, exact(b[:n]), max(n-1, 0), &testLimits); err != ErrIncomplete {
				t.Errorf("%q: after %q: %v", b, b[:n], err)
			}
		}
		if err := Parse(&r, b, len(b)-1, &testLimits); err != c.want {
			t.Errorf("%q: %v, want %v", b, err, c.want)
		}
		if err := Parse(&r, b, 0, &testLimits); err != c.want {
			t.Errorf("%q in one piece: %v, want %v", b, err, c.want)
		}
	}
}

// TestLimitsWhileIncomplete: a client that never ends its line or header is refused at
// the limit.
func TestLimitsWhileIncomplete(t *testing.T) {
	line := "GET / HTTP/1.1\r\n"
	for _, c := range []struct {
		name, start, fill string
		limit             int
		want              *Error
	}{
		{"request line", "GET /", "a", testLimits.RequestLine + 2, ErrRequestLineTooLong},
		{"value", line + "X:", "a", len(line) + testLimits.Header, ErrHeaderTooLarge},
		{"name", line, "a", len(line) + testLimits.Header, ErrHeaderTooLarge},
		{"many fields, found when the limit is reached", line, "X:\r\n", len(line) + testLimits.Header, ErrTooManyFields},
	} {
		b := []byte(c.start)
		for len(b) < 20<<10 {
			b = append(b, c.fill...)
		}
		var r Request
		n := 1
		err := Parse(&r, b[:n:n], 0, &testLimits)
		for err == ErrIncomplete && n < len(b) {
			n++
			err = Parse(&r, b[:n:n], n-1, &testLimits)
		}
		if err != c.want || n != c.limit {
			t.Errorf("%s: %v after %d bytes, want %v after %d", c.name, err, n, c.want, c.limit)
		}
	}
}

func TestLimitsLoweredBetweenCalls(t *testing.T) {
	b := []byte("GET /" + strings.Repeat("a", 100))
	var r Request
	if err := Parse(&r, b, len(b)-1, &Limits{RequestLine: 20, Header: 10, Fields: 1}); err != ErrRequestLineTooLong {
		t.Error(err)
	}
}

func TestRequestIsReused(t *testing.T) {
	var r Request
	first := []byte("POST http://a?b HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 7\r\nX: y\r\n\r\n")
	second := []byte("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
	third := []byte("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
	for range 2 {
		for _, b := range [][]byte{first, second, third} {
			var fresh Request
			want := dump(&fresh, Parse(&fresh, b, 0, &testLimits))
			if got := dump(&r, Parse(&r, b, 0, &testLimits)); got != want {
				t.Errorf("used again:\n%swant:\n%s", got, want)
			}
		}
	}
}

func TestPipelined(t *testing.T) {
	one := []byte(benchRequest)
	b := bytes.Repeat(one, 5)
	var r Request
	for range 5 {
		if err := Parse(&r, b, 0, &testLimits); err != nil || r.HeadLen != len(one) {
			t.Fatal(err, r.HeadLen)
		}
		b = b[r.HeadLen:]
	}
	if err := Parse(&r, b, 0, &testLimits); err != ErrIncomplete {
		t.Error(err)
	}
}

func TestGet(t *testing.T) {
	var r Request
	b := []byte("GET / HTTP/1.1\r\nHost: a\r\nX-Token: 1\r\nx-token: 2\r\nX-Empty:\r\n\r\n")
	if err := Parse(&r, b, 0, &testLimits); err != nil {
		t.Fatal(err)
	}
	if got := r.Get("x-token"); string(got) != "1" {
		t.Errorf("x-token: %q", got)
	}
	if got := r.Get("x-empty"); got == nil || len(got) != 0 {
		t.Errorf("x-empty: %#v", got)
	}
	if got := r.Get("x-none"); got != nil {
		t.Errorf("x-none: %q", got)
	}
}

func TestMethodString(t *testing.T) {
	for m, want := range map[Method]string{GET: "GET", HEAD: "HEAD", POST: "POST", PUT: "PUT", DELETE: "DELETE", OPTIONS: "OPTIONS",
		PATCH: "PATCH", TRACE: "TRACE", CONNECT: "CONNECT", MethodUnknown: "unknown", 200: "unknown"} {
		if m.String() != want {
			t.Errorf("%d: %s, want %s", m, m, want)
		}
	}
}

func TestContentTypeIs(t *testing.T) {
	for v, want := range map[string]bool{
		"application/json": true, "Application/JSON": true, " application/json ; charset=utf-8": true, "application/json;": true,
		"": false, "application/jsonx": false, "text/plain; application/json": false, "application/json, x": false,
	} {
		if got := ContentTypeIs([]byte(v), "application/json"); got != want {
			t.Errorf("%q: %v", v, got)
		}
	}
}

// TestStrides: the functions on words agree with simple loops, for every byte in every
// position, alone and after a byte that borrows.
func TestStrides(t *testing.T) {
	for _, c := range []struct {
		name string
		scan func([]byte) int
		ends func(byte) bool
	}{
		{"target", func(b []byte) int { return targetEnd(b, 0) }, func(c byte) bool { return c <= 0x20 || c == 0x7f || c == '#' }},
		{"value", func(b []byte) int { return valueEnd(b, 0) }, func(c byte) bool { return c < 0x20 && c != '\t' || c == 0x7f }},
		{"name", nameEnd, func(c byte) bool { return c == '=' || c == '&' }},
		{"pair", func(b []byte) int { return pairEnd(b, 0) }, func(c byte) bool { return c == '&' }},
		{"json", func(b []byte) int { return plainEnd(b, 0) }, func(c byte) bool { return c < 0x20 || c == '"' || c == '\\' }},
	} {
		for _, filler := range []byte{'a', 0x80, 0xff, 0x21, '\'', '#', 0x7e} {
			for size := range 20 {
				for at := range size {
					for x := range 256 {
						b := bytes.Repeat([]byte{filler}, size)
						b[at] = byte(x)
						if at+1 < size {
							b[at+1] = byte(x + 1) // the byte that a borrow would mark by mistake
						}
						want := slices.IndexFunc(b, c.ends)
						if want < 0 {
							want = size
						}
						got := c.scan(exact(b))
						if got != want {
							t.Fatalf("%s: %q: %d, want %d", c.name, b, got, want)
						}
					}
				}
			}
		}
	}
}
