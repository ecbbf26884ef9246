package server

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path"

	"icomet/server/reactor"
	"icomet/server/wire"
	"icomet/web/dashboard"
)

// file is one that a port serves. It is immutable.
type file struct {
	ctype string
	body  []byte
	etag  string // with its quotes

	fields string
	fresh  bool // is not to be cached
}

// newFile makes a file that clients may cache. The tag depends on the content only, so
// that all nodes of one version agree on it.
func newFile(ctype string, body []byte) *file {
	sum := sha256.Sum256(body)
	return &file{ctype: ctype, body: body, etag: fmt.Sprintf(`"%x"`, sum[:8])}
}

// newPage makes a file that the browser revalidates each time, because page and scripts
// have to be of the same version. fields are further complete header lines.
func newPage(ctype string, body []byte, fields string) *file {
	f := newFile(ctype, body)
	f.fields, f.fresh = fields, true
	return f
}

// serve answers 304 without a body when the client has the file already.
func (f *file) serve(c *reactor.Conn, r *reactor.Request) {
	h := wire.Head{Status: 200, Ctype: f.ctype, Length: len(f.body), Connection: r.Connection, File: !f.fresh}
	h.Fields = "ETag: " + f.etag + "\r\n" + f.fields
	c.SetCommon(r, &h)
	out := c.Out()
	if matchesETag(r.Get("if-none-match"), f.etag) {
		h.Status, h.Ctype, h.Length = 304, "", wire.LengthNone
		out.B = h.Append(out.B)
		return
	}
	out.B = append(h.Append(out.B), f.body...)
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

// pageFields let the dashboard load nothing but its own files, and no other site put it
// into a frame: it has buttons that close channels.
const pageFields = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n" +
	"Referrer-Policy: same-origin\r\n"

var fileTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": wire.ContentScript, ".svg": "image/svg+xml", ".txt": wire.ContentText,
}

// pages are the dashboard's page and its files, by path.
func pages() map[string]*file {
	all := make(map[string]*file)
	for name, body := range dashboard.Files() {
		at := "/dashboard/" + name
		if name == "index.html" {
			at = "/"
		}
		all[at] = newPage(fileTypes[path.Ext(name)], body, pageFields)
	}
	return all
}
