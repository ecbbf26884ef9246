package reactor

import (
	"bytes"
	"unicode/utf8"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/params"
	"icomet/server/wire"
)

// Request is the one that is being served: one for each loop, valid until the handler
// returns. A handler must not keep a byte slice of it.
type Request struct {
	httpparse.Request
	body []byte
	// bodyTooLarge says that the body is left out, since it is over Conn.frontBody.
	bodyTooLarge bool
	Connection   wire.ConnField // what the answer says of the connection
	CORS         wire.CORS      // what the answer says on the admin port
	Params       params.Params
	channels     int // limits.channels_per_connection
}

// reset sets what follows from the head just parsed.
func (r *Request) reset(c *Conn) {
	r.body, r.bodyTooLarge, r.CORS = nil, false, wire.CORS{STS: c.StrictTransport()}
	r.channels = c.loop.reactor.settings.Load().Channels
	r.Params.Reset()
	switch {
	case !r.KeepAlive || c.loop.reactor.draining.Load():
		r.Connection = wire.ConnClose
	case r.Minor == 0:
		r.Connection = wire.ConnKeepAlive
	default:
		r.Connection = wire.ConnDefault
	}
}

// ParseParams reads the query and, on POST, the body. A body that cannot be read as
// parameters is an error, because something in it would be lost, unless the query alone has
// what the call needs. Errors are of type *httpparse.Error.
func (r *Request) ParseParams(needs params.Set) error {
	p := &r.Params
	if r.bodyTooLarge {
		return httpparse.ErrBodyTooLarge
	}
	if r.Method != httpparse.POST || len(r.body) == 0 {
		return p.AddPairs(r.Query)
	}
	kind, unreadable := r.bodyKind()
	if unreadable != nil {
		if err := p.AddPairs(r.Query); err != nil || p.HasAll(needs) {
			return err
		}
		return unreadable
	}
	var err error
	if kind.json {
		err = p.AddJSON(bytes.TrimPrefix(r.body, byteOrderMark))
	} else {
		err = p.AddPairs(r.body)
	}
	if err != nil {
		return err
	}
	if kind.foreign && !p.ASCII() {
		return httpparse.ErrBodyCharset
	}
	p.EndBody()
	return p.AddPairs(r.Query)
}

// ParseLines reads the query, and checks that the body is lines of JSON and not encoded. It
// returns the body.
func (r *Request) ParseLines() ([]byte, error) {
	given, err := r.contentType()
	if err == nil && !httpparse.ContentTypeIs(given, wire.ContentLines) {
		err = httpparse.ErrBodyLines
	}
	if err != nil {
		return nil, err
	}
	return r.body, r.Params.AddPairs(r.Query)
}

var byteOrderMark = []byte("\xEF\xBB\xBF")

// bodyKind is what a body says that it is.
type bodyKind struct {
	json    bool // a JSON object, otherwise a form
	foreign bool // in a charset other than UTF-8
}

// bodyKind reads the fields about the body. Its error says why the body is no parameters.
func (r *Request) bodyKind() (k bodyKind, err error) {
	ctype, err := r.contentType()
	switch {
	case err != nil:
		return k, err
	case httpparse.ContentTypeIsJSON(ctype):
		k.json = true
	case len(ctype) > 0 && !httpparse.ContentTypeIs(ctype, "application/x-www-form-urlencoded"):
		return k, httpparse.ErrBodyType
	case looksLikeJSON(r.body):
		return k, httpparse.ErrBodyNotForm
	}
	charset := httpparse.Charset(ctype)
	k.foreign = len(charset) > 0 && !httpparse.TokenIs(charset, "utf-8") && !httpparse.TokenIs(charset, "utf8") &&
		!httpparse.TokenIs(charset, "us-ascii")
	return k, nil
}

// contentType is the Content-Type of a body that is not encoded.
func (r *Request) contentType() (ctype []byte, err error) {
	for i := range r.Fields {
		switch f := &r.Fields[i]; {
		case f.Is("content-encoding") && !httpparse.TokenIs(f.Value, "identity") && len(f.Value) > 0:
			return nil, httpparse.ErrBodyCoding
		case !f.Is("content-type"):
		case ctype != nil && !bytes.Equal(ctype, f.Value):
			return nil, httpparse.ErrBodyType
		default:
			ctype = f.Value
		}
	}
	return ctype, nil
}

// looksLikeJSON reports that the first character is the one that a JSON object has. No
// form of ours begins with it.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, byteOrderMark), " \t\r\n")
	return len(body) > 0 && body[0] == '{'
}

// MayNameMany lets ParseParams take several channels.
func (r *Request) MayNameMany() { r.Params.NameMany(r.channels) }

// Cname returns the channel's name, or answers 400.
func (c *Conn) Cname(r *Request) (name []byte, ok bool) {
	name = r.Params.Get(params.Cname)
	if why := NameFault(name); why != "" {
		c.Refuse(r, 400, why)
		return nil, false
	}
	return name, true
}

// NameFault says why a channel cannot have this name; "": it can.
func NameFault(name []byte) string {
	switch {
	case len(name) == 0:
		return "cname is missing: the name of the channel is needed"
	case len(name) > channel.MaxName:
		return "cname is too long: a channel's name has at most 255 bytes"
	case !utf8.Valid(name):
		return "cname is not valid UTF-8"
	}
	return ""
}

// maxID bounds the id of a publish, in bytes.
const maxID = 64

// IDFault says why a publish cannot have this id; "": it can.
func IDFault(id []byte) string {
	ok := len(id) > 0 && len(id) <= maxID
	for _, b := range id {
		ok = ok && b > ' ' && b < 0x7f
	}
	if !ok {
		return "id is not 1 to 64 visible ASCII characters"
	}
	return ""
}

// ID returns the id of a publish, "" when there is none, or answers 400.
func (c *Conn) ID(r *Request) (id string, ok bool) {
	if !r.Params.Has[params.ID] {
		return "", true
	}
	text := r.Params.Get(params.ID)
	if why := IDFault(text); why != "" {
		c.Refuse(r, 400, why)
		return "", false
	}
	return string(text), true
}

// Epoch returns an epoch, 0 when it is absent or empty, or answers 400.
func (c *Conn) Epoch(r *Request) (epoch uint32, ok bool) {
	text := r.Params.Get(params.Epoch)
	if len(text) == 0 {
		return 0, true
	}
	if epoch, ok = wire.ParseEpoch(text); !ok {
		c.Refuse(r, 400, "epoch is not 8 lower-case hex digits")
	}
	return epoch, ok
}

// Flag returns whether a parameter that is 0 or 1 is 1, or answers 400.
func (c *Conn) Flag(r *Request, n params.Param) (on, ok bool) {
	switch string(r.Params.Get(n)) {
	case "1":
		return true, true
	case "", "0":
		return false, true
	}
	c.Refuse(r, 400, n.String()+" is neither 0 nor 1")
	return false, false
}

// Int returns a number, 0 when it is absent, or answers 400.
func (c *Conn) Int(r *Request, n params.Param) (v int64, ok bool) {
	text := r.Params.Get(n)
	if len(text) == 0 {
		return 0, true
	}
	if v, ok = httpparse.ParseInt(text); !ok {
		c.Refuse(r, 400, n.String()+" is not an integer")
	}
	return v, ok
}

// Content returns what is to be published, or answers 400. It may be empty, but it has to
// be given: a misspelt name must not publish an empty message.
func (c *Conn) Content(r *Request) (content []byte, ok bool) {
	if !r.Params.Has[params.Content] {
		c.Refuse(r, 400, "content is missing: what is to be published is needed (content= for an empty message)")
		return nil, false
	}
	return r.Params.Get(params.Content), true
}

// Callback returns the checked cb parameter, nil when there is none, or answers 400.
func (c *Conn) Callback(r *Request) (cb []byte, ok bool) {
	cb = r.Params.Get(params.Callback)
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
