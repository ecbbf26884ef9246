package server

import (
	"math/bits"
	"net/http"
	"strconv"
)

// Version is the release, as /info, the Server field and -version give it.
const Version = "0.1.0"

const lastChunk = "0\r\n\r\n"

// continueLine asks for the body of a request with Expect: 100-continue.
const continueLine = "HTTP/1.1 100 Continue\r\n\r\n"

// nosniff: user content in a JSON or text answer must not be taken for a page.
const (
	serverField  = "Server: icomet/" + Version + "\r\n"
	nosniffField = "X-Content-Type-Options: nosniff\r\n"
)

// commonFields are on every answer of both ports but files, which may be cached.
const (
	commonFields = serverField + "Cache-Control: no-cache\r\nExpires: 0\r\n" + nosniffField
	fileFields   = serverField + "Cache-Control: public, max-age=3600\r\n" + nosniffField
)

// head is what the first lines of an answer say.
type head struct {
	status  int
	ctype   string
	length  int    // bytes of the body; lengthChunked, lengthClose or lengthNone
	origin  string // Access-Control-Allow-Origin; "" for none
	vary    bool   // the answer depends on the request's Origin
	conn    connField
	allow   string // the methods a 405 names
	retryIn int    // seconds of Retry-After; 0 for none
	file    bool   // may be cached
	fields  string // further complete lines
}

const (
	lengthChunked = -1 - iota // Transfer-Encoding: chunked
	lengthClose               // the end of the connection ends the body
	lengthNone                // nothing is said of it (the head alone is sent)
)

// connField is what the answer says of the connection.
type connField uint8

const (
	connDefault   connField = iota // HTTP/1.1, kept
	connClose                      // closed after this answer
	connKeepAlive                  // HTTP/1.0, kept
)

var connLines = [...]string{"", "Connection: close\r\n", "Connection: keep-alive\r\n"}

func (h *head) append(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(h.status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(h.status)...)
	dst = append(dst, "\r\n"...)
	if h.file {
		dst = append(dst, fileFields...)
	} else {
		dst = append(dst, commonFields...)
	}
	dst = appendField(dst, "Content-Type: ", h.ctype)
	dst = appendField(dst, "Access-Control-Allow-Origin: ", h.origin)
	if h.vary {
		dst = append(dst, "Vary: Origin\r\n"...)
	}
	dst = appendField(dst, "Allow: ", h.allow)
	if h.retryIn > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = append(appendInt(dst, int64(h.retryIn)), "\r\n"...)
	}
	dst = append(dst, h.fields...)
	switch {
	case h.length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = append(appendInt(dst, int64(h.length)), "\r\n"...)
	case h.length == lengthChunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	dst = append(dst, connLines[h.conn]...)
	return append(dst, "\r\n"...)
}

func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, name...)
	return append(append(dst, value...), "\r\n"...)
}

func appendInt(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }

// appendChunk frames data as one chunk. Empty data would be the last chunk: the
// callers have none.
func appendChunk(dst, data []byte) []byte {
	for shift := (bits.Len(uint(len(data))) + 3) / 4 * 4; shift > 0; shift -= 4 {
		dst = append(dst, hexDigits[len(data)>>(shift-4)&15])
	}
	dst = append(dst, "\r\n"...)
	return append(append(dst, data...), "\r\n"...)
}

// appendJSONAnswer appends head and body, a JSON text that ends with a newline; with a
// callback the body is CB(JSON); instead. scratch is overwritten.
func appendJSONAnswer(dst []byte, h *head, callback, body []byte, scratch *[]byte) []byte {
	if callback != nil {
		s := append(append((*scratch)[:0], callback...), '(')
		s = appendScriptSafe(s, body[:len(body)-1])
		*scratch = append(s, ");\n"...)
		h.ctype, body = typeScript, *scratch
	}
	h.length = len(body)
	return append(h.append(dst), body...)
}
