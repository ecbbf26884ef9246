package server

import (
	"bytes"
	"net/http"

	"icomet/httpparse"
	"icomet/web"
)

const pathPresence = "/psub"

// endpoint is one path of one port.
type endpoint struct {
	allow  string // the methods, as a 405 lists them
	post   bool
	head   bool // calls that change nothing
	handle func(*loop, *conn, *request)
	// transport is set for the subscribe paths: their HEAD is the head alone.
	transport transport
	guard     guard
}

// guard is what the admin port asks for beside an address that is allowed.
type guard uint8

const (
	guardFull    guard = iota // a Host and an Origin that are known, and a key
	guardKeyless              // no key: the dashboard's files, which a browser loads without
	guardAddress              // nothing: probes know neither
)

func subscribeEndpoint(t transport, handle func(*loop, *conn, *request)) *endpoint {
	return &endpoint{allow: "GET, HEAD, OPTIONS", head: true, handle: handle, transport: t}
}

var frontEndpoints = map[string]*endpoint{
	"/poll":   subscribeEndpoint(transportPoll, (*loop).handlePoll),
	"/sub":    subscribeEndpoint(transportPoll, (*loop).handleSub),
	"/stream": subscribeEndpoint(transportStream, (*loop).handleStream),
	"/sse":    subscribeEndpoint(transportSSE, (*loop).handleSSE),
	"/iframe": subscribeEndpoint(transportIframe, (*loop).handleIframe),
	"/ping":   {allow: "GET, HEAD, OPTIONS", head: true, handle: (*loop).handlePing},

	"/icomet.js":  fileEndpoint(newFile("text/javascript; charset=utf-8", web.Script)),
	"/icomet.mjs": fileEndpoint(newFile("text/javascript; charset=utf-8", web.Module)),
}

func writeEndpoint(handle func(*loop, *conn, *request)) *endpoint {
	return &endpoint{allow: "GET, POST", post: true, handle: handle}
}

func readEndpoint(handle func(*loop, *conn, *request)) *endpoint {
	return &endpoint{allow: "GET, HEAD, POST", post: true, head: true, handle: handle}
}

var adminEndpoints = withDashboard(withProfiles(map[string]*endpoint{
	"/sign":      writeEndpoint((*loop).handleSign),
	"/pub":       writeEndpoint((*loop).handlePub),
	"/push":      writeEndpoint((*loop).handlePush),
	"/broadcast": writeEndpoint((*loop).handleBroadcast),
	"/close":     writeEndpoint((*loop).handleClose),
	"/clear":     writeEndpoint((*loop).handleClear),
	"/info":      readEndpoint((*loop).handleInfo),
	"/check":     readEndpoint((*loop).handleCheck),
	pathPresence: writeEndpoint((*loop).handlePresence),
	"/stats":     readEndpoint((*loop).handleStats),

	"/healthz": {allow: "GET, HEAD", head: true, guard: guardAddress, handle: (*loop).handleHealth},
	"/readyz":  {allow: "GET, HEAD", head: true, guard: guardAddress, handle: (*loop).handleReady},
	"/metrics": bridgeEndpoint("GET, HEAD", func(s *Server) http.Handler { return s.metrics }),
}))

// endpointOf finds the endpoint of the connection's port; nil for a path that there is
// not.
func endpointOf(c *conn, r *request) *endpoint {
	if c.has(flagAdmin) {
		return adminEndpoints[string(r.Path)]
	}
	return frontEndpoints[string(r.Path)]
}

// route lets the endpoint answer.
func (l *loop) route(c *conn, r *request) {
	e := endpointOf(c, r)
	if c.has(flagAdmin) {
		if status, why := l.guardRefusal(r, e); status != 0 {
			l.refuse(c, r, status, why)
			return
		}
	}
	switch {
	case r.Method == httpparse.MethodUnknown:
		l.refuse(c, r, 501, "the method is not known")
	case r.Method == httpparse.OPTIONS && !c.has(flagAdmin) && (e != nil || string(r.Path) == "*"):
		l.preflight(c, r)
	case e == nil:
		l.refuse(c, r, 404, "there is no such path on this port")
	case r.Method == httpparse.HEAD && e.head:
		l.headOnly(c, r, e)
	case r.Method == httpparse.GET, r.Method == httpparse.POST && e.post:
		l.answerCall(c, r, e)
	default:
		l.stats.refused(405)
		h := head{status: 405, allow: e.allow, conn: r.conn}
		l.setOrigin(c, r, &h)
		l.text(c, r, &h, "the method does not fit the path; it takes "+e.allow)
	}
}

// refusesHead reports that r is refused whatever its body is.
func (l *loop) refusesHead(c *conn, r *request) bool {
	e := endpointOf(c, r)
	if c.has(flagAdmin) {
		if status, _ := l.guardRefusal(r, e); status != 0 {
			return true
		}
	}
	if e == nil {
		return true
	}
	switch r.Method {
	case httpparse.GET:
		return false
	case httpparse.HEAD:
		return !e.head
	case httpparse.POST:
		return !e.post
	}
	return c.has(flagAdmin) || r.Method != httpparse.OPTIONS
}

// guardRefusal is why an admin request is not to be served; status 0: it is. e is nil
// for a path that there is not.
func (l *loop) guardRefusal(r *request, e *endpoint) (status int, why string) {
	g := guardFull
	if e != nil {
		g = e.guard
	}
	if g == guardAddress {
		return 0, ""
	}
	set := l.srv.settings.Load()
	if why := set.origins.refusal(r); why != "" {
		return 403, why
	}
	if g == guardFull && !l.authorized(set, r) {
		return 401, "the key in Authorization: Bearer KEY is missing or wrong"
	}
	return 0, ""
}

func (l *loop) answerCall(c *conn, r *request, e *endpoint) {
	if err := r.parseParams(); err != nil {
		l.refuse(c, r, 400, "the parameters cannot be read: "+err.Error())
		return
	}
	e.handle(l, c, r)
}

// headOnly answers HEAD with the head of GET. A subscribe path would not end, so
// its head is written for itself.
func (l *loop) headOnly(c *conn, r *request, e *endpoint) {
	mark := len(l.out.B)
	switch e.transport {
	case transportNone:
		l.answerCall(c, r, e)
		if i := bytes.Index(l.out.B[mark:], []byte("\r\n\r\n")); i >= 0 {
			l.out.B = l.out.B[:mark+i+4]
		}
		return
	case transportPoll:
		h := head{status: 200, ctype: typeScript, length: lengthNone, conn: r.conn}
		if string(r.Path) == "/sub" {
			h.ctype = typeJSON
		}
		l.setOrigin(c, r, &h)
		l.out.B = h.append(l.out.B)
	default:
		l.out.B = l.appendOpenHead(l.out.B, c, r, e.transport)
		if r.Minor == 0 {
			c.set(flagClose) // as the head says
		}
	}
}

// preflight answers what a browser asks before a cross-origin request.
func (l *loop) preflight(c *conn, r *request) {
	h := head{status: 204, length: lengthNone, conn: r.conn, allow: "GET, HEAD, OPTIONS"}
	l.setOrigin(c, r, &h)
	if h.origin != "" {
		h.fields = "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n" +
			"Access-Control-Allow-Headers: Cache-Control, Content-Type, Last-Event-ID, X-Requested-With\r\n" +
			"Access-Control-Max-Age: 86400\r\n"
	}
	l.out.B = h.append(l.out.B)
}

// setOrigin sets the CORS fields of a front answer.
func (l *loop) setOrigin(c *conn, r *request, h *head) {
	if !c.has(flagAdmin) {
		h.origin, h.vary = l.srv.settings.Load().origin(r.Get("origin"))
	}
}

// refuse answers an error that leaves the connection usable.
func (l *loop) refuse(c *conn, r *request, status int, text string) {
	l.stats.refused(status)
	h := head{status: status, conn: r.conn}
	if status == 503 {
		h.retryIn = 1
	}
	if status == 401 {
		h.fields = "WWW-Authenticate: Bearer\r\n"
	}
	l.setOrigin(c, r, &h)
	l.text(c, r, &h, text)
}

func (l *loop) text(c *conn, r *request, h *head, text string) {
	mark := len(l.out.B)
	l.out.B = c.appendText(l.out.B, h, text)
	if r.Method == httpparse.HEAD {
		l.out.B = l.out.B[:mark+bytes.Index(l.out.B[mark:], []byte("\r\n\r\n"))+4]
	}
}

// json answers with the JSON text in body, or with CB(JSON); when cb is given.
// body ends with a newline and is one of the loop's scratch buffers.
func (l *loop) json(c *conn, r *request, body []byte) {
	callback, ok := l.callback(c, r)
	if !ok {
		return
	}
	h := head{status: 200, ctype: typeJSON, conn: r.conn}
	l.setOrigin(c, r, &h)
	l.out.B = appendJSONAnswer(l.out.B, &h, callback, body, &l.scratch)
}

// appendJSONAnswer appends head and body; scratch is overwritten.
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
