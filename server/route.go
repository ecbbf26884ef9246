package server

import (
	"net/http"
	"strings"

	"icomet/docs"
	"icomet/httpparse"
	"icomet/server/access"
	"icomet/server/monitor"
	"icomet/server/params"
	"icomet/server/reactor"
	"icomet/server/wire"
	"icomet/web"
)

// endpoint is one path of one port.
type endpoint struct {
	allow  string // the methods, as a 405 lists them
	post   bool
	head   bool // HEAD is allowed: the call changes nothing
	handle func(*reactor.Conn, *reactor.Request)
	// Transport is set for the subscribe paths: their HEAD is the head alone.
	transport wire.Transport
	callback  []byte // of a poll whose request has no cb; nil: bare JSON
	opens     bool   // on the admin port: the response stays open
	guard     guard
	// needs are the parameters without which the call does nothing. When the query has them,
	// a POST may have any body.
	needs params.Set
	shows bool // on the admin port: who follows a link of another site may see it
	// lines says that the call is a POST whose body is no parameters.
	lines bool
	many  bool // several channels may be named
}

// guard is what the admin port checks in addition to the client's address.
type guard uint8

const (
	guardFull    guard = iota // a known Host, a known Origin and a key
	guardKeyless              // no key, for what holds no secret: a browser loads it without one
	guardAddress              // nothing more, for probes
)

func subscribeEndpoint(t wire.Transport, handle func(*reactor.Conn, *reactor.Request)) *endpoint {
	return &endpoint{
		allow: "GET, HEAD, POST, OPTIONS", post: true, head: true, handle: handle, transport: t,
		needs: params.SetOf(params.Cname), many: true,
	}
}

func (s *Server) pollEndpoint(callback []byte) *endpoint {
	e := subscribeEndpoint(wire.TransportPoll, func(c *reactor.Conn, r *reactor.Request) { s.poll(c, r, callback) })
	e.callback = callback
	return e
}

func (s *Server) openEndpoint(t wire.Transport) *endpoint {
	return subscribeEndpoint(t, func(c *reactor.Conn, r *reactor.Request) { s.open(c, r, t) })
}

func fileEndpoint(f *file) *endpoint {
	return &endpoint{allow: "GET, HEAD, OPTIONS", head: true, handle: f.serve}
}

func writeEndpoint(handle func(*reactor.Conn, *reactor.Request), needs ...params.Param) *endpoint {
	return &endpoint{allow: "GET, POST", post: true, handle: handle, needs: params.SetOf(needs...)}
}

func readEndpoint(handle func(*reactor.Conn, *reactor.Request), needs ...params.Param) *endpoint {
	return &endpoint{
		allow: "GET, HEAD, POST", post: true, head: true, handle: handle, needs: params.SetOf(needs...), shows: true,
	}
}

// lookEndpoint is a path that a browser or a probe reads.
func lookEndpoint(g guard, handle func(*reactor.Conn, *reactor.Request)) *endpoint {
	return &endpoint{allow: "GET, HEAD", head: true, guard: g, handle: handle, shows: true}
}

func (s *Server) frontEndpoints() map[string]*endpoint {
	return map[string]*endpoint{
		"/poll":   s.pollEndpoint(wire.DefaultCallback),
		"/sub":    s.pollEndpoint(nil),
		"/stream": s.openEndpoint(wire.TransportStream),
		"/sse":    s.openEndpoint(wire.TransportSSE),
		"/iframe": s.openEndpoint(wire.TransportIframe),
		"/ws": {
			allow: "GET, OPTIONS", handle: s.handleWebSocket, transport: wire.TransportWebSocket, many: true,
		},
		"/ping": {allow: "GET, HEAD, OPTIONS", head: true, handle: s.handlePing},

		"/icomet.js":  fileEndpoint(newFile("text/javascript; charset=utf-8", web.Script)),
		"/icomet.mjs": fileEndpoint(newFile("text/javascript; charset=utf-8", web.Module)),
	}
}

func (s *Server) adminEndpoints() map[string]*endpoint {
	m := s.monitor
	const cname, content = params.Cname, params.Content
	all := map[string]*endpoint{
		"/sign":      writeEndpoint(s.handleSign, cname),
		"/pub":       writeEndpoint(s.handlePub, cname, content),
		"/push":      writeEndpoint(s.handlePush, cname, content),
		"/broadcast": writeEndpoint(s.handleBroadcast, content),
		"/batch":     {allow: "POST", post: true, lines: true, handle: s.handleBatch},
		"/end":       writeEndpoint(s.handleEnd, cname),
		"/close":     writeEndpoint(s.handleClose, cname),
		"/clear":     writeEndpoint(s.handleClear, cname),
		"/info":      readEndpoint(s.handleInfo, cname),
		"/check":     readEndpoint(s.handleCheck, cname),
		"/psub":      {allow: "GET, POST", post: true, opens: true, handle: s.handlePresence},
		"/stats":     readEndpoint(m.HandleStats),

		"/healthz": lookEndpoint(guardAddress, m.HandleHealth),
		"/readyz":  lookEndpoint(guardAddress, m.HandleReady),
		"/metrics": bridgeEndpoint("GET, HEAD", m.Metrics),

		"/openapi.yaml": lookEndpoint(guardKeyless, newPage("application/yaml", docs.OpenAPI, "").serve),

		"/dashboard/channel":  lookEndpoint(guardFull, m.HandleLook),
		"/dashboard/config":   lookEndpoint(guardFull, m.HandleConfig),
		"/dashboard/channels": bridgeEndpoint("GET, HEAD", http.HandlerFunc(m.ServeList)),
		"/dashboard/feed":     {allow: "GET", opens: true, handle: m.HandleFeed},
	}
	for path, f := range pages() {
		all[path] = lookEndpoint(guardKeyless, f.serve)
	}
	for path, p := range monitor.Profiles() {
		all[path] = bridgeEndpoint(p.Allow, p.Handler)
	}
	return all
}

// bridgeEndpoint is a path of the admin port that a handler of net/http answers. allow
// lists its methods; the handler sees HEAD as GET.
func bridgeEndpoint(allow string, h http.Handler) *endpoint {
	return &endpoint{
		allow: allow, post: strings.Contains(allow, "POST"), head: strings.Contains(allow, "HEAD"),
		shows:  strings.Contains(allow, "HEAD"),
		handle: func(c *reactor.Conn, r *reactor.Request) { c.Bridge(r, h) },
	}
}

// endpointOf finds the endpoint on the connection's port; nil for an unknown path.
func (s *Server) endpointOf(c *reactor.Conn, r *reactor.Request) *endpoint {
	if c.Admin() {
		return s.admin[string(r.Path)]
	}
	return s.front[string(r.Path)]
}

// Serve lets the endpoint answer. It is of Handler.
func (s *Server) Serve(c *reactor.Conn, r *reactor.Request) {
	e := s.endpointOf(c, r)
	if c.Admin() {
		if status, why := s.guardRefusal(r, e); status != 0 {
			c.Refuse(r, status, why)
			return
		}
	}
	switch {
	case r.Method == httpparse.MethodUnknown:
		c.Refuse(r, 501, "the method is not known")
	case r.Method == httpparse.OPTIONS && (e != nil || string(r.Path) == "*") && (!c.Admin() || asksFirst(r)):
		s.preflight(c, r, e)
	case e == nil:
		c.Refuse(r, 404, s.noSuchPath(c, r))
	case r.Method == httpparse.HEAD && e.head:
		s.headOnly(c, r, e)
	case r.Method == httpparse.GET && !e.lines, r.Method == httpparse.POST && e.post:
		s.answerCall(c, r, e)
	default:
		c.RefuseWith(r, &wire.Head{Status: 405, Allow: e.allow, Connection: r.Connection}, "the method does not fit the path; it takes "+e.allow)
	}
}

// noSuchPath says where a path is that is not on c's port. The two ports are easily mixed up.
func (s *Server) noSuchPath(c *reactor.Conn, r *reactor.Request) string {
	const text = "there is no such path on this port"
	switch path := string(r.Path); {
	case c.Admin() && s.front[path] != nil:
		return text + ": " + path + " is a path of the front port (front.listen)"
	case !c.Admin() && path == "/":
		return text + ": the dashboard is on the admin port (admin.listen)"
	case !c.Admin() && s.admin[path] != nil:
		return text + ": " + path + " is a path of the admin port (admin.listen)"
	}
	return text
}

// Refuses is of Handler.
func (s *Server) Refuses(c *reactor.Conn, r *reactor.Request) bool {
	e := s.endpointOf(c, r)
	if c.Admin() {
		if status, _ := s.guardRefusal(r, e); status != 0 {
			return true
		}
	}
	if e == nil {
		return true
	}
	switch r.Method {
	case httpparse.GET:
		return e.lines
	case httpparse.HEAD:
		return !e.head
	case httpparse.POST:
		return !e.post
	}
	return r.Method != httpparse.OPTIONS || c.Admin() && !asksFirst(r)
}

// asksFirst reports that r is a browser's preflight.
func asksFirst(r *reactor.Request) bool {
	return r.Method == httpparse.OPTIONS && r.Get("access-control-request-method") != nil
}

// Opens is of Handler.
func (s *Server) Opens(c *reactor.Conn, r *reactor.Request) bool {
	e := s.endpointOf(c, r)
	return e != nil && e.opens
}

// Subscribes is of Handler.
func (s *Server) Subscribes(c *reactor.Conn, r *reactor.Request) bool {
	e := s.endpointOf(c, r)
	if e == nil || e.transport == wire.TransportNone {
		return false
	}
	switch r.Method {
	case httpparse.GET, httpparse.HEAD, httpparse.POST, httpparse.OPTIONS:
		return true
	}
	return false
}

// guardRefusal says why an admin request is refused; status 0: it is not. e is nil for
// an unknown path.
func (s *Server) guardRefusal(r *reactor.Request, e *endpoint) (status int, why string) {
	g := guardFull
	if e != nil {
		g = e.guard
	}
	if g == guardAddress {
		return 0, ""
	}
	set := s.settings.Load()
	strict := r.CORS.STS
	why, r.CORS = set.origins.Judge(&r.Request)
	r.CORS.STS = strict
	if why != "" && !(e != nil && e.shows && access.OfForeignOrigin(why) && access.Visit(&r.Request)) {
		return 403, why
	}
	// A browser asks without the key whether the page may send it.
	if g == guardFull && !asksFirst(r) && !set.keys.Authorize(&r.Request) {
		return 401, "the key in Authorization: Bearer KEY is missing or wrong"
	}
	return 0, ""
}

func (s *Server) answerCall(c *reactor.Conn, r *reactor.Request, e *endpoint) {
	if e.lines || parseParams(c, r, e) {
		e.handle(c, r)
	}
}

// parseParams reads the parameters, or answers why they cannot be read.
func parseParams(c *reactor.Conn, r *reactor.Request, e *endpoint) bool {
	if e.many {
		r.MayNameMany()
	}
	err := r.ParseParams(e.needs)
	if err == nil {
		return true
	}
	refuseUnread(c, r, "parameters", err)
	return false
}

// refuseUnread answers why what of r cannot be read.
func refuseUnread(c *reactor.Conn, r *reactor.Request, what string, err error) {
	status, text := 400, "the "+what+" cannot be read: "+err.Error()
	if bad, ok := err.(*httpparse.Error); ok {
		status = bad.Status
	}
	c.Refuse(r, status, text)
}

// headOnly answers HEAD with the head of GET. On a subscribe path GET would not end, so
// the head is written without it.
func (s *Server) headOnly(c *reactor.Conn, r *reactor.Request, e *endpoint) {
	out := c.Out()
	mark := len(out.B)
	switch e.transport {
	case wire.TransportNone:
		s.answerCall(c, r, e)
		c.CutToHead(mark)
	case wire.TransportPoll:
		if !parseParams(c, r, e) {
			return
		}
		if style, ok := pollStyle(c, r, e.callback); ok {
			out.B = style.AppendHead(out.B, wire.LengthNone)
		}
	default:
		out.B = c.AppendOpenHead(out.B, r, e.transport)
		if r.Minor == 0 {
			c.EndAfter() // as the head says
		}
	}
}

// preflight answers what a browser asks before a cross-origin request. e is nil for "*".
func (s *Server) preflight(c *reactor.Conn, r *reactor.Request, e *endpoint) {
	h := wire.Head{Status: 204, Length: wire.LengthNone, Connection: r.Connection, Allow: "GET, HEAD, OPTIONS"}
	if e != nil {
		h.Allow = e.allow
	}
	c.SetCommon(r, &h)
	if h.Origin != "" {
		headers := "Authorization, Cache-Control, Content-Type, Last-Event-ID, X-Requested-With"
		if asked := r.Get("access-control-request-headers"); httpparse.IsTokenList(asked) {
			headers = string(asked) // whatever the page wants to send, tracing for one
		}
		h.Fields = "Access-Control-Allow-Methods: " + h.Allow + "\r\n" +
			"Access-Control-Allow-Headers: " + headers + "\r\n" +
			"Access-Control-Max-Age: 86400\r\n"
	}
	out := c.Out()
	out.B = h.Append(out.B)
}
