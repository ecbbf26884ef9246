package httpparse

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// benchRequest is a typical subscribe request of a browser, 214 bytes.
const benchRequest = "GET /stream?cname=news-room-17&seq=10427&token=0f9a3c5e7b1d2864a0c2e4f6&noop=0 HTTP/1.1\r\n" +
	"Host: push.example.org:8100\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/145\r\n" +
	"Accept: */*\r\n" +
	"Connection: keep-alive\r\n\r\n"

// walkQuery reads every pair, as an endpoint does.
func walkQuery(q []byte) (n int) {
	for {
		name, value, rest, ok := NextPair(q)
		if !ok {
			return n
		}
		if Plain(value) {
			n += len(name) + len(value)
		}
		q = rest
	}
}

func BenchmarkParse(b *testing.B) {
	request := []byte(benchRequest)
	if len(request) != 214 {
		b.Fatal(len(request))
	}
	var r Request
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Parse(&r, request, 0, &testLimits); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAndQuery(b *testing.B) {
	request := []byte(benchRequest)
	var r Request
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Parse(&r, request, 0, &testLimits); err != nil || walkQuery(r.Query) == 0 {
			b.Fatal(err)
		}
	}
}

// BenchmarkNetHTTP is the comparison: the same request through the standard library.
func BenchmarkNetHTTP(b *testing.B) {
	src := strings.NewReader(benchRequest)
	br := bufio.NewReader(src)
	b.SetBytes(int64(len(benchRequest)))
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(benchRequest)
		br.Reset(src)
		if _, err := http.ReadRequest(br); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNetHTTPAndQuery(b *testing.B) {
	src := strings.NewReader(benchRequest)
	br := bufio.NewReader(src)
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(benchRequest)
		br.Reset(src)
		r, err := http.ReadRequest(br)
		if err != nil || len(r.URL.Query()) != 4 {
			b.Fatal(err)
		}
	}
}

// BenchmarkDribble parses the largest allowed head, which arrives byte by byte. Most of
// the time per byte is the search for the end of the 8 KiB request line; parsing from the
// start each time takes twenty-five times as long.
func BenchmarkDribble(b *testing.B) {
	head := []byte("GET /" + strings.Repeat("a", 8<<10-len("GET / HTTP/1.1")) + " HTTP/1.1\r\nHost: a\r\n" +
		strings.Repeat("X-Filler: "+strings.Repeat("b", 180)+"\r\n", 80) + "\r\n")
	r := Request{Fields: make([]Field, 0, testLimits.Fields)}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for n < len(head) && Parse(&r, head[:n+1], n, &testLimits) == ErrIncomplete {
			n++
		}
		if n != len(head)-1 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(head)), "ns/byte")
}

func BenchmarkChunked(b *testing.B) {
	body := bytes.Repeat([]byte("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n"), 16)
	body = append(body, "0\r\n\r\n"...)
	var d ChunkDecoder
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		d.Reset(&testLimits)
		for rest := body; !d.Done(); {
			_, n, err := d.Next(rest)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}

func BenchmarkValidJSONString(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"ascii", strings.Repeat("a plain message, ", 60)},
		{"chinese", strings.Repeat("推送服务器", 68)},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := []byte(c.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if !ValidJSONString(text) {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkJSONMembers(b *testing.B) {
	body := []byte(`{"cname":"news-room-17","content":"a plain message","seq":17,"id":"x\n\u00e4"}`)
	var m JSONMembers
	scratch := make([]byte, 0, 1024)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		m.Init(body, scratch[:0])
		n := 0
		for m.Next() {
			n++
		}
		if scratch = m.Scratch(); n != 4 || m.Err() != nil {
			b.Fatal(n, m.Err())
		}
	}
}
