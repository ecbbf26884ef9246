package server

import (
	"net/http"
	"strings"

	"icomet/httpparse"
	"icomet/server/access"
	"icomet/server/monitor"
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
	opens     bool // on the admin port: the response stays open
	guard     guard
	shows     bool // on the admin port: who follows a link of another site may see it
}

// guard is what the admin port checks in addition to the client's address.
type guard uint8

const (
	guardFull    guard = iota // a known Host, a known Origin and a key
	guardKeyless              // no key, for the dashboard's files: a browser loads them without one
	guardAddress              // nothing more, for probes
)

func subscribeEndpoint(t wire.Transport, handle func(*reactor.Conn, *reactor.Request)) *endpoint {
	return &endpoint{allow: "GET, HEAD, OPTIONS", head: true, handle: handle, transport: t}
}

func fileEndpoint(f *file) *endpoint {
	return &endpoint{allow: "GET, HEAD, OPTIONS", head: true, handle: f.serve}
}

func writeEndpoint(handle func(*reactor.Conn, *reactor.Request)) *endpoint {
	return &endpoint{allow: "GET, POST", post: true, handle: handle}
}

func readEndpoint(handle func(*reactor.Conn, *reactor.Request)) *endpoint {
	return &endpoint{allow: "GET, HEAD, POST", post: true, head: true, handle: handle, shows: true}
}

// lookEndpoint is a path that a browser or a probe reads.
func lookEndpoint(g guard, handle func(*reactor.Conn, *reactor.Request)) *endpoint {
	return &endpoint{allow: "GET, HEAD", head: true, guard: g, handle: handle, shows: true}
}

func (s *Server) frontEndpoints() map[string]*endpoint {
	return map[string]*endpoint{
		"/poll":   subscribeEndpoint(wire.TransportPoll, s.handlePoll),
		"/sub":    subscribeEndpoint(wire.TransportPoll, s.handleSub),
		"/stream": subscribeEndpoint(wire.TransportStream, s.handleStream),
		"/sse":    subscribeEndpoint(wire.TransportSSE, s.handleSSE),
		"/iframe": subscribeEndpoint(wire.TransportIframe, s.handleIframe),
		"/ping":   {allow: "GET, HEAD, OPTIONS", head: true, handle: s.handlePing},

		"/icomet.js":  fileEndpoint(newFile("text/javascript; charset=utf-8", web.Script)),
		"/icomet.mjs": fileEndpoint(newFile("text/javascript; charset=utf-8", web.Module)),
	}
}

func (s *Server) adminEndpoints() map[string]*endpoint {
	m := s.monitor
	all := map[string]*endpoint{
		"/sign":      writeEndpoint(s.handleSign),
		"/pub":       writeEndpoint(s.handlePub),
		"/push":      writeEndpoint(s.handlePush),
		"/broadcast": writeEndpoint(s.handleBroadcast),
		"/close":     writeEndpoint(s.handleClose),
		"/clear":     writeEndpoint(s.handleClear),
		"/info":      readEndpoint(s.handleInfo),
		"/check":     readEndpoint(s.handleCheck),
		"/psub":      {allow: "GET, POST", post: true, opens: true, handle: s.handlePresence},
		"/stats":     readEndpoint(m.HandleStats),

		"/healthz": lookEndpoint(guardAddress, m.HandleHealth),
		"/readyz":  lookEndpoint(guardAddress, m.HandleReady),
		"/metrics": bridgeEndpoint("GET, HEAD", m.Metrics),

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
	case r.Method == httpparse.OPTIONS && !c.Admin() && (e != nil || string(r.Path) == "*"):
		s.preflight(c, r)
	case e == nil:
		c.Refuse(r, 404, "there is no such path on this port")
	case r.Method == httpparse.HEAD && e.head:
		s.headOnly(c, r, e)
	case r.Method == httpparse.GET, r.Method == httpparse.POST && e.post:
		s.answerCall(c, r, e)
	default:
		c.RefuseWith(r, &wire.Head{Status: 405, Allow: e.allow, Connection: r.Connection}, "the method does not fit the path; it takes "+e.allow)
	}
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
		return false
	case httpparse.HEAD:
		return !e.head
	case httpparse.POST:
		return !e.post
	}
	return c.Admin() || r.Method != httpparse.OPTIONS
}

// Opens is of Handler.
func (s *Server) Opens(c *reactor.Conn, r *reactor.Request) bool {
	e := s.endpointOf(c, r)
	return e != nil && e.opens
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
	if why := set.origins.Refusal(&r.Request); why != "" &&
		!(e != nil && e.shows && access.OfForeignOrigin(why) && access.Visit(&r.Request)) {
		return 403, why
	}
	if g == guardFull && !set.keys.Authorize(&r.Request) {
		return 401, "the key in Authorization: Bearer KEY is missing or wrong"
	}
	return 0, ""
}

func (s *Server) answerCall(c *reactor.Conn, r *reactor.Request, e *endpoint) {
	if err := r.ParseParams(); err != nil {
		c.Refuse(r, 400, "the parameters cannot be read: "+err.Error())
		return
	}
	e.handle(c, r)
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
		h := wire.Head{Status: 200, Ctype: wire.ContentScript, Length: wire.LengthNone, Connection: r.Connection}
		if string(r.Path) == "/sub" {
			h.Ctype = wire.ContentJSON
		}
		c.SetOrigin(r, &h)
		out.B = h.Append(out.B)
	default:
		out.B = c.AppendOpenHead(out.B, r, e.transport)
		if r.Minor == 0 {
			c.EndAfter() // as the head says
		}
	}
}

// preflight answers what a browser asks before a cross-origin request.
func (s *Server) preflight(c *reactor.Conn, r *reactor.Request) {
	h := wire.Head{Status: 204, Length: wire.LengthNone, Connection: r.Connection, Allow: "GET, HEAD, OPTIONS"}
	c.SetOrigin(r, &h)
	if h.Origin != "" {
		h.Fields = "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n" +
			"Access-Control-Allow-Headers: Cache-Control, Content-Type, Last-Event-ID, X-Requested-With\r\n" +
			"Access-Control-Max-Age: 86400\r\n"
	}
	out := c.Out()
	out.B = h.Append(out.B)
}
