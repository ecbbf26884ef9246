package e2e

import (
	"strings"
	"testing"

	"icomet/web"
)

// askFile makes one request with further header lines.
func (s *testServer) askFile(method, path, fields string) reply {
	s.t.Helper()
	c := dial(s.t, s.front)
	defer c.Close()
	c.sendf("%s %s HTTP/1.1\r\nHost: test\r\n%s\r\n", method, path, fields)
	if method != "HEAD" {
		return c.reply()
	}
	// A client does not expect a body here, so the next answer has to follow.
	lines := c.head()
	c.get("/ping").wantReply(200, "icomet_cb({\"type\":\"ping\",\"sub_timeout\":30});\n")
	return reply{body: lines}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for path, body := range map[string][]byte{"/icomet.js": web.Script, "/icomet.mjs": web.Module} {
		r := s.askFile("GET", path, "")
		if r.status != 200 || r.body != string(body) {
			t.Fatalf("%s: %d with %d bytes", path, r.status, len(r.body))
		}
		for name, want := range map[string]string{
			"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "public, max-age=3600",
			"Access-Control-Allow-Origin": "*", "Expires": "", "X-Content-Type-Options": "nosniff",
		} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		etag := r.header.Get("ETag")
		if len(etag) != 18 {
			t.Fatalf("%s: ETag %q", path, etag)
		}
		for _, tags := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
			r := s.askFile("GET", path, "If-None-Match: "+tags+"\r\n")
			if r.status != 304 || r.body != "" || r.header.Get("ETag") != etag || r.header.Get("Content-Length") != "" {
				t.Errorf("%s, If-None-Match %s: %+v", path, tags, r)
			}
		}
		if r := s.askFile("GET", path, "If-None-Match: \"other\"\r\n"); r.status != 200 {
			t.Errorf("%s with another tag: %d", path, r.status)
		}
		head := s.askFile("HEAD", path, "").body
		if !strings.HasPrefix(head, "HTTP/1.1 200 ") || !strings.Contains(head, "ETag: "+etag+"\r\n") {
			t.Errorf("HEAD %s: %s", path, head)
		}
		if r := s.askFile("POST", path, "Content-Length: 0\r\n"); r.status != 405 || r.header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("POST %s: %+v", path, r)
		}
	}
}

// TestFilesAreOfTheFrontPort: a path of one port is 404 on the other.
func TestFilesAreOfTheFrontPort(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	if status, _ := s.request("GET", s.admin, "/icomet.js"); status != 404 {
		t.Errorf("the admin port answers %d", status)
	}
}
