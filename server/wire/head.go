package wire

import (
	"math/bits"
	"net/http"
	"strconv"

	"icomet/internal/version"
)

// Version is the release, as /info and the Server field give it.
const Version = version.Release

// LastChunk ends a chunked response.
const LastChunk = "0\r\n\r\n"

// ContinueLine asks for the body of a request with Expect: 100-continue.
const ContinueLine = "HTTP/1.1 100 Continue\r\n\r\n"

// nosniff: user content in a JSON or text answer must not be taken for a page.
const (
	serverField  = "Server: icomet/" + Version + "\r\n"
	nosniffField = "X-Content-Type-Options: nosniff\r\n"
)

// commonFields, behind Server and Date, are on every answer of both ports but files, which may be cached.
const (
	commonFields = "Cache-Control: no-cache\r\nExpires: 0\r\n" + nosniffField
	// openFields keep a proxy from collecting or compressing a response before it passes it
	// on: nginx goes by X-Accel-Buffering, compressing proxies by no-transform.
	openFields = "Cache-Control: no-cache, no-transform\r\nExpires: 0\r\nX-Accel-Buffering: no\r\n" + nosniffField
	fileFields = "Cache-Control: public, max-age=3600\r\n" + nosniffField
)

// Head is the status line and the header fields of an answer.
type Head struct {
	CORS
	Date       string // of the answer, as RFC 9110 section 5.6.7 has it
	Status     int    // of HTTP; the reason phrase follows from it
	Ctype      string // Content-Type; "" for none
	Length     int    // bytes of the body; LengthChunked, LengthClose or LengthNone
	Connection ConnField
	Allow      string // methods that the path takes, for 405 and OPTIONS
	RetryIn    int    // seconds of Retry-After; 0 for none
	File       bool   // may be cached
	Open       bool   // the response stays open
	Fields     string // further header lines, each with its line end
}

// Lengths that are no number of bytes.
const (
	LengthChunked = -1 - iota // Transfer-Encoding: chunked
	LengthClose               // the end of the connection ends the body
	LengthNone                // no field about the length: the head is sent alone
)

// ConnField is what the answer says of the connection.
type ConnField uint8

const (
	ConnDefault   ConnField = iota // HTTP/1.1, kept
	ConnClose                      // closed after this answer
	ConnKeepAlive                  // HTTP/1.0, kept
)

var connLines = [...]string{"", "Connection: close\r\n", "Connection: keep-alive\r\n"}

// Append appends the head, with the empty line that ends it.
func (h *Head) Append(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(h.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(h.Status)...)
	dst = append(dst, "\r\n"+serverField...)
	dst = appendField(dst, "Date: ", h.Date)
	switch {
	case h.File:
		dst = append(dst, fileFields...)
	case h.Open:
		dst = append(dst, openFields...)
	default:
		dst = append(dst, commonFields...)
	}
	dst = appendField(dst, "Content-Type: ", h.Ctype)
	dst = h.CORS.append(dst)
	dst = appendField(dst, "Allow: ", h.Allow)
	if h.RetryIn > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = append(AppendInt(dst, int64(h.RetryIn)), "\r\n"...)
	}
	dst = append(dst, h.Fields...)
	switch {
	case h.Length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = append(AppendInt(dst, int64(h.Length)), "\r\n"...)
	case h.Length == LengthChunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	dst = append(dst, connLines[h.Connection]...)
	return append(dst, "\r\n"...)
}

func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, name...)
	return append(append(dst, value...), "\r\n"...)
}

// AppendInt appends v in decimal.
func AppendInt(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }

// AppendChunk frames data as one chunk. data must not be empty: that would be the last
// chunk.
func AppendChunk[T string | []byte](dst []byte, data T) []byte {
	for shift := (bits.Len(uint(len(data))) + 3) / 4 * 4; shift > 0; shift -= 4 {
		dst = append(dst, hexDigits[len(data)>>(shift-4)&15])
	}
	dst = append(dst, "\r\n"...)
	return append(append(dst, data...), "\r\n"...)
}

// AppendJSONAnswer appends head and body, a JSON text that ends with a newline; with a
// callback the body is CB(JSON); instead. scratch is overwritten.
func AppendJSONAnswer(dst []byte, h *Head, callback, body []byte, scratch *[]byte) []byte {
	if callback != nil {
		s := append(append((*scratch)[:0], callback...), '(')
		s = appendScriptSafe(s, body[:len(body)-1])
		*scratch = append(s, ");\n"...)
		h.Ctype, body = ContentScript, *scratch
	}
	h.Length = len(body)
	return append(h.Append(dst), body...)
}
