package server

import (
	"unicode/utf8"

	"icomet/httpparse"
)

// maxName bounds a channel's name, in bytes after decoding.
const maxName = 255

// cname returns the channel's name, or answers 400.
func (c *conn) cname(r *request) (name []byte, ok bool) {
	name = r.params.get(paramCname)
	switch {
	case len(name) == 0:
		c.refuse(r, 400, "cname is missing: the name of the channel is needed")
	case len(name) > maxName:
		c.refuse(r, 400, "cname is too long: a channel's name has at most 255 bytes")
	case !utf8.Valid(name):
		c.refuse(r, 400, "cname is not valid UTF-8")
	default:
		return name, true
	}
	return nil, false
}

// intParam returns a number, 0 when it is absent, or answers 400.
func (c *conn) intParam(r *request, n param) (v int64, ok bool) {
	text := r.params.get(n)
	if len(text) == 0 {
		return 0, true
	}
	if v, ok = httpparse.ParseInt(text); !ok {
		c.refuse(r, 400, paramNames[n]+" is not an integer")
	}
	return v, ok
}

// callback returns the checked cb parameter, nil when there is none, or answers 400.
func (c *conn) callback(r *request) (cb []byte, ok bool) {
	cb = r.params.get(paramCallback)
	if len(cb) == 0 {
		return nil, true
	}
	if !validCallback(cb) {
		c.refuse(r, 400, "cb is not a callback name: letters, digits, _, $ and dots, at most 128, not beginning with a digit or a dot")
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
