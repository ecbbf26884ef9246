package server

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// file is one that the front port serves. It is immutable.
type file struct {
	ctype string
	body  []byte
	etag  string // with its quotes
}

// newFile takes the tag from the content, so that all nodes and restarts of one
// version agree on it.
func newFile(ctype string, body []byte) *file {
	sum := sha256.Sum256(body)
	return &file{ctype: ctype, body: body, etag: fmt.Sprintf(`"%x"`, sum[:8])}
}

func fileEndpoint(f *file) *endpoint {
	return &endpoint{allow: "GET, HEAD, OPTIONS", head: true, handle: func(l *loop, c *conn, r *request) {
		l.sendFile(c, r, f)
	}}
}

// sendFile answers 304 without a body to who has the file already.
func (l *loop) sendFile(c *conn, r *request, f *file) {
	h := head{status: 200, ctype: f.ctype, length: len(f.body), conn: r.conn, file: true}
	h.fields = "ETag: " + f.etag + "\r\n"
	l.setOrigin(c, r, &h)
	if matchesETag(r.Get("if-none-match"), f.etag) {
		h.status, h.ctype, h.length = 304, "", lengthNone
		l.out.B = h.append(l.out.B)
		return
	}
	l.out.B = append(h.append(l.out.B), f.body...)
}

// matchesETag compares weakly, as RFC 9110 says for If-None-Match. The tags of
// files have no comma.
func matchesETag(list []byte, etag string) bool {
	for tag := range bytes.SplitSeq(list, []byte(",")) {
		tag = bytes.TrimPrefix(bytes.TrimSpace(tag), []byte("W/"))
		if string(tag) == etag || string(tag) == "*" {
			return true
		}
	}
	return false
}
