package httpparse

// Method is a request method that the server knows, or MethodUnknown.
type Method uint8

// The methods of RFC 9110, and PATCH of RFC 5789.
const (
	MethodUnknown Method = iota
	GET
	HEAD
	POST
	PUT
	DELETE
	OPTIONS
	PATCH
	TRACE
	CONNECT
)

var methodNames = [...]string{"unknown", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}

// String is the method as it is written in a request, or "unknown".
func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return methodNames[MethodUnknown]
}

// Limits bound what a peer can make the server hold. There is no "unlimited":
// a zero refuses everything, so the caller sets all four.
type Limits struct {
	RequestLine int   // bytes, without its CRLF
	Header      int   // bytes after the request line up to and with the empty line; also chunk extensions and trailers together
	Fields      int   // count
	Body        int64 // bytes, decoded
}

// Field is one header field as it was sent; the value without the white space round it.
type Field struct{ Name, Value []byte }

// Request is a parsed head. It may be used again for the next request: Fields
// keeps its storage. Its contents are meaningful only after Parse returned nil.
type Request struct {
	Method         Method
	Minor          uint8  // of HTTP/1.Minor: 0 or 1
	Path, Query    []byte // as sent, still escaped; Query without '?', nil when there is none
	Authority      []byte // of an absolute target: it counts instead of Host; nil when there is none
	HeadLen        int    // bytes, with the final CRLFCRLF
	ContentLength  int64  // bytes; 0 when there is none, meaningless when Chunked
	Chunked        bool
	KeepAlive      bool // as the version and Connection say
	ExpectContinue bool
	Fields         []Field
}

// Get returns the value of the first field with this name, which must be given
// in lower case, or nil when there is none.
func (r *Request) Get(lowerName string) []byte {
	for i := range r.Fields {
		if f := &r.Fields[i]; equalFold(f.Name, lowerName) {
			return f.Value
		}
	}
	return nil
}
