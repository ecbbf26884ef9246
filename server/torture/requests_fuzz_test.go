package torture

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"icomet/httpparse"
)

// seen is one request as a server understood it.
type seen struct {
	method, target, body string
	close                bool
}

var fuzzLimits = httpparse.Limits{RequestLine: 8 << 10, Header: 16 << 10, Fields: 100, Body: 1 << 20}

// ours reads a connection's bytes as our server does. clean says that all of it was
// requests.
func ours(b []byte) (all []seen, clean bool) {
	var r httpparse.Request
	for len(b) > 0 {
		if err := httpparse.Parse(&r, b, 0, &fuzzLimits); err != nil {
			return all, false
		}
		target := string(r.Path)
		if r.Query != nil {
			target += "?" + string(r.Query)
		}
		s := seen{method: r.Method.String(), target: target, close: !r.KeepAlive}
		b = b[r.HeadLen:]
		if r.Chunked {
			var d httpparse.ChunkDecoder
			var body strings.Builder
			d.Reset(&fuzzLimits)
			for !d.Done() {
				data, n, err := d.Next(b)
				if err != nil || n == 0 {
					return all, false
				}
				body.Write(data)
				b = b[n:]
			}
			s.body = body.String()
		} else {
			if int64(len(b)) < r.ContentLength {
				return all, false
			}
			s.body, b = string(b[:r.ContentLength]), b[r.ContentLength:]
		}
		if all = append(all, s); s.close {
			return all, true
		}
	}
	return all, true
}

// theirs reads them as net/http does.
func theirs(b []byte) (all []seen) {
	br := bufio.NewReader(bytes.NewReader(b))
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return all
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return all
		}
		all = append(all, seen{r.Method, r.RequestURI, string(body), r.Close})
		if r.Close {
			return all
		}
	}
}

var requestSeeds = []string{
	"GET /poll?cname=a HTTP/1.1\r\nHost: h\r\n\r\nGET /sub?cname=b HTTP/1.1\r\nHost: h\r\n\r\n",
	"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\na=b&cGET / HTTP/1.0\r\n\r\n",
	"POST /push HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /behind HTTP/1.1\r\nHost: h\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n",
}

// FuzzRequests is about smuggling: of a connection's bytes we never see another
// sequence of requests than net/http does. We may stop earlier, being stricter.
func FuzzRequests(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s))
	}
	for _, h := range hostile {
		f.Add([]byte(h.bytes + marker))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := compareRequests(b); err != nil {
			t.Error(err)
		}
	})
}

func compareRequests(b []byte) error {
	we, _ := ours(b)
	they := theirs(b)
	for i, s := range we {
		if i == len(they) {
			if lax(b, s) {
				return nil
			}
			return fmt.Errorf("%q: we see %+v, net/http nothing more", b, s)
		}
		o := they[i]
		if s.method == "unknown" {
			s.method = o.method
		}
		if u, err := url.ParseRequestURI(o.target); err == nil && u.IsAbs() {
			o.target = s.target // ours is the path of an absolute one
		}
		if o.method == http.MethodConnect {
			o.target = s.target
		}
		if s != o {
			return fmt.Errorf("%q: request %d: we see %+v, net/http %+v", b, i, s, o)
		}
	}
	return nil
}

// lax is what we accept and net/http does not: a target that does not decode (404
// here), and an announced trailer that must not be there. Neither is about framing.
func lax(b []byte, s seen) bool {
	target := s.target
	if s.method == http.MethodConnect {
		target = "http://" + target
	}
	if _, err := url.ParseRequestURI(target); err != nil {
		return true
	}
	lower := bytes.ToLower(b)
	return bytes.Contains(lower, []byte("trailer")) || bytes.Contains(lower, []byte("://")) || s.method == http.MethodConnect
}
