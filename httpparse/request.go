package httpparse

// Method is a request method that the server knows, or MethodUnknown.
type Method uint8

// The known methods. Names are case-sensitive (RFC 9110 section 9.1).
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

// String returns the name as it is in a request, or "unknown".
func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return methodNames[MethodUnknown]
}

// Limits bound what one client can make the server hold. There is no "unlimited": the
// caller sets all four, and 0 allows nothing.
type Limits struct {
	RequestLine int   // bytes, without its CRLF
	Header      int   // bytes after the request line, including the empty line; for a chunked body, all extensions and trailers together
	Fields      int   // count
	Body        int64 // bytes after decoding
}

// Field is one header field as it was sent; Value is without the white space around it.
type Field struct{ Name, Value []byte }

// Is reports that the field has this name, which must be in lower case.
func (f *Field) Is(lowerName string) bool { return equalFold(f.Name, lowerName) }

// Request is a parsed head, and is valid only after Parse has returned nil. Reuse it for
// the next request: Fields keeps its storage.
type Request struct {
	Method         Method
	Minor          uint8  // of HTTP/1.Minor: 0 or 1
	Path, Query    []byte // as sent, still escaped; Query without '?', nil if there is none
	Authority      []byte // of an absolute target; it takes precedence over Host; nil if there is none
	HeadLen        int    // bytes, including the final CRLFCRLF
	ContentLength  int64  // bytes; 0 if there is none; meaningless if Chunked
	Chunked        bool
	KeepAlive      bool // by version and Connection
	ExpectContinue bool
	Fields         []Field
}

// Get returns the value of the first field with this name, or nil if there is none. The
// name must be in lower case.
func (r *Request) Get(lowerName string) []byte {
	for i := range r.Fields {
		if f := &r.Fields[i]; equalFold(f.Name, lowerName) {
			return f.Value
		}
	}
	return nil
}
