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
	CORS       wire.CORS      // what the answer says on the admin port
	Params     params
}

// reset sets what follows from the head just parsed.
func (r *Request) reset(c *Conn) {
	r.body, r.CORS = nil, wire.CORS{}
	r.Params.reset()
	switch {
	case !r.KeepAlive || c.loop.reactor.draining.Load():
		r.Connection = wire.ConnClose
	case r.Minor == 0:
		r.Connection = wire.ConnKeepAlive
	default:
		r.Connection = wire.ConnDefault
	}
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

// Content returns what is to be published, or answers 400. It may be empty, but it has to
// be given: a misspelt name must not publish an empty message.
func (c *Conn) Content(r *Request) (content []byte, ok bool) {
	if !r.Params.Has[ParamContent] {
		c.Refuse(r, 400, "content is missing: what is to be published is needed (content= for an empty message)")
		return nil, false
	}
	return r.Params.Get(ParamContent), true
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
