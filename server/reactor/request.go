package reactor

import (
	"unicode/utf8"

	"icomet/httpparse"
	"icomet/server/wire"
)

// Request is the one that is being served: one for each loop, valid until the handler
// returns. A handler must not keep a byte slice of it.
type Request struct {
	httpparse.Request
	body       []byte
	Connection wire.ConnField // what the answer says of the connection
	Params     params
}

// reset sets what follows from the head just parsed.
func (r *Request) reset(c *Conn) {
	r.body = nil
	switch {
	case !r.KeepAlive || c.loop.reactor.draining.Load():
		r.Connection = wire.ConnClose
	case r.Minor == 0:
		r.Connection = wire.ConnKeepAlive
	default:
		r.Connection = wire.ConnDefault
	}
}

// Param is one of the parameters that any call takes; ParamX is the parameter whose name
// in the protocol is in paramNames.
type Param uint8

const (
	ParamCname Param = iota
	ParamSeq
	ParamNoop
	ParamToken
	ParamCallback
	ParamContent
	ParamExpires
	paramCount
)

var paramNames = [paramCount]string{"cname", "seq", "noop", "token", "cb", "content", "expires"}

// params holds the decoded values of one request. They alias the request or arena.
type params struct {
	values [paramCount][]byte
	Has    [paramCount]bool
	arena  []byte
}

// Get returns a value, nil when it is absent or empty.
func (p *params) Get(n Param) []byte { return p.values[n] }

func lookupParam(name []byte) (Param, bool) {
	for i := range paramNames {
		if paramNames[i] == string(name) {
			return Param(i), true
		}
	}
	return 0, false
}

// put sets a value unless there is one: of a repeated name the first counts, and
// the body is read before the query.
func (p *params) put(n Param, v []byte) {
	if !p.Has[n] {
		p.Has[n], p.values[n] = true, v
	}
}

// ParseParams reads the query and, on POST, the body. Errors have status 400.
func (r *Request) ParseParams() error {
	p := &r.Params
	p.values = [paramCount][]byte{}
	p.Has = [paramCount]bool{}
	if cap(p.arena) > maxPooled {
		p.arena = nil
	}
	p.arena = p.arena[:0]
	if r.Method == httpparse.POST && len(r.body) > 0 {
		var err error
		if httpparse.ContentTypeIs(r.Get("content-type"), "application/json") {
			err = p.addJSON(r.body)
		} else {
			err = p.addPairs(r.body)
		}
		if err != nil {
			return err
		}
	}
	return p.addPairs(r.Query)
}

func (p *params) addPairs(q []byte) error {
	for {
		name, value, rest, ok := httpparse.NextPair(q)
		if !ok {
			return nil
		}
		q = rest
		var err error
		if name, err = p.decode(name); err != nil {
			return err
		}
		if value, err = p.decode(value); err != nil {
			return err
		}
		if n, ok := lookupParam(name); ok {
			p.put(n, value)
		}
	}
}

func (p *params) decode(s []byte) ([]byte, error) {
	if httpparse.Plain(s) {
		return s, nil
	}
	from := len(p.arena)
	var err error
	p.arena, err = httpparse.AppendUnescaped(p.arena, s)
	return p.arena[from:], err
}

func (p *params) addJSON(b []byte) error {
	var m httpparse.JSONMembers
	m.Init(b, p.arena)
	for m.Next() {
		if n, ok := lookupParam(m.Name); ok {
			p.put(n, m.Value)
		}
	}
	p.arena = m.Scratch()
	return m.Err()
}

// maxName bounds a channel's name, in bytes after decoding.
const maxName = 255

// Cname returns the channel's name, or answers 400.
func (c *Conn) Cname(r *Request) (name []byte, ok bool) {
	name = r.Params.Get(ParamCname)
	switch {
	case len(name) == 0:
		c.Refuse(r, 400, "cname is missing: the name of the channel is needed")
	case len(name) > maxName:
		c.Refuse(r, 400, "cname is too long: a channel's name has at most 255 bytes")
	case !utf8.Valid(name):
		c.Refuse(r, 400, "cname is not valid UTF-8")
	default:
		return name, true
	}
	return nil, false
}

// Int returns a number, 0 when it is absent, or answers 400.
func (c *Conn) Int(r *Request, n Param) (v int64, ok bool) {
	text := r.Params.Get(n)
	if len(text) == 0 {
		return 0, true
	}
	if v, ok = httpparse.ParseInt(text); !ok {
		c.Refuse(r, 400, paramNames[n]+" is not an integer")
	}
	return v, ok
}

// Callback returns the checked cb parameter, nil when there is none, or answers 400.
func (c *Conn) Callback(r *Request) (cb []byte, ok bool) {
	cb = r.Params.Get(ParamCallback)
	if len(cb) == 0 {
		return nil, true
	}
	if !validCallback(cb) {
		c.Refuse(r, 400, "cb is not a callback name: letters, digits, _, $ and dots, at most 128, not beginning with a digit or a dot")
		return nil, false
	}
	return cb, true
}

// validCallback matches [A-Za-z_$][A-Za-z0-9_$.]{0,127}.
func validCallback(cb []byte) bool {
	for i, b := range cb {
		letter := b|0x20 >= 'a' && b|0x20 <= 'z' || b == '_' || b == '$'
		if !letter && (i == 0 || b != '.' && (b < '0' || b > '9')) {
			return false
		}
	}
	return len(cb) <= 128
}
