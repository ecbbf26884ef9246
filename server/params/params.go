// Package params reads the parameters of a request, from its query and its body.
package params

import "icomet/httpparse"

// Param is one of the parameters that any call takes.
type Param uint8

// String is the parameter's name in the protocol.
func (n Param) String() string { return names[n] }

// The parameters, by what they mean; names has what they are called.
const (
	Cname Param = iota
	Seq
	Noop
	Token
	Callback
	Content
	Expires
	LastEventID
	Epoch
	Last
	Raw
	ID
	IfSeq
	Position
	Build
	Count // how many there are
)

var names = [Count]string{
	"cname", "seq", "noop", "token", "cb", "content", "expires", "lastEventId",
	"epoch", "last", "raw", "id", "if_seq", "position", "build",
}

// Set is a set of parameters.
type Set uint16

// SetOf is the set of those in list.
func SetOf(list ...Param) (s Set) {
	for _, n := range list {
		s |= 1 << n
	}
	return s
}

func lookup(name []byte) (Param, bool) {
	for i := range names {
		if names[i] == string(name) {
			return Param(i), true
		}
	}
	switch string(name) {
	case "last_event_id", "Last-Event-ID": // as other polyfills spell it
		return LastEventID, true
	}
	return 0, false
}

// values are decoded parameters. They alias the request or an arena.
type values struct {
	list [Count][]byte
	Has  [Count]bool
}

// Get returns a value, nil when it is absent or empty.
func (v *values) Get(n Param) []byte { return v.list[n] }

// put sets a value unless there is one: of a repeated name the first counts, and the body
// is read before the query.
func (v *values) put(n Param, value []byte) {
	if !v.Has[n] {
		v.Has[n], v.list[n] = true, value
	}
}

// HasAll reports that every parameter of s is given.
func (v *values) HasAll(s Set) bool {
	for n := range Count {
		if s&(1<<n) != 0 && !v.Has[n] {
			return false
		}
	}
	return true
}

// maxArena is the largest arena, in bytes, that is kept for the next request.
const maxArena = 64 << 10

// Params are the parameters of one request. A value is valid as long as the request is.
type Params struct {
	values
	arena []byte

	// Of a request that may name several channels, each cname begins the parameters of the
	// next one. The values are those of the first, and of the connection.
	many   bool
	limit  int      // of channels; what is beyond is dropped, but for one
	more   []values // of the second channel and those behind it
	inBody bool     // the channels are named in the body: the query's cname does not Count
}

// ofChannel are the parameters that stand behind the cname to which they belong.
var ofChannel = SetOf(Cname, Seq, Token, Epoch, Last)

// Reset forgets the last request.
func (p *Params) Reset() {
	p.values = values{}
	if cap(p.arena) > maxArena {
		p.arena = nil
	}
	p.arena = p.arena[:0]
	clear(p.more)
	p.more = p.more[:0]
	p.many, p.inBody = false, false
}

// NameMany lets the request name several channels. What is beyond limit is dropped, but for
// one.
func (p *Params) NameMany(limit int) { p.many, p.limit = true, limit }

// EndBody says that the body has been read: if it names channels, it names all.
func (p *Params) EndBody() { p.inBody = p.Has[Cname] }

// Channels is how many channels the request names, if it may name several.
func (p *Params) Channels() int {
	if !p.Has[Cname] {
		return 0
	}
	return 1 + len(p.more)
}

// Select makes the values those of channel i, from 0. The others are lost but for those
// behind it.
func (p *Params) Select(i int) {
	if i > 0 {
		p.values = p.more[i-1]
	}
}

// set stores a parameter where it belongs.
func (p *Params) set(n Param, value []byte) {
	switch last := len(p.more); {
	case !p.many || ofChannel&(1<<n) == 0 || !p.Has[Cname]:
		p.put(n, value)
	case p.inBody && (n == Cname || last > 0): // the body's channels are complete
	case n == Cname:
		if last < p.limit {
			p.more = append(p.more, values{})
			p.more[last].put(n, value)
		}
	case last > 0:
		p.more[last-1].put(n, value)
	default:
		p.put(n, value)
	}
}

// ASCII reports that all values are ASCII, which most charsets share.
func (p *Params) ASCII() bool {
	for i := range p.more {
		if !p.more[i].ascii() {
			return false
		}
	}
	return p.values.ascii()
}

func (v *values) ascii() bool {
	for _, value := range v.list {
		for _, c := range value {
			if c >= 0x80 {
				return false
			}
		}
	}
	return true
}

// AddPairs reads a query or a form. The errors are those of httpparse.AppendUnescaped.
func (p *Params) AddPairs(q []byte) error {
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
		if n, ok := lookup(name); ok {
			p.set(n, value)
		}
	}
}

func (p *Params) decode(s []byte) ([]byte, error) {
	if httpparse.Plain(s) {
		return s, nil
	}
	from := len(p.arena)
	var err error
	p.arena, err = httpparse.AppendUnescaped(p.arena, s)
	return p.arena[from:], err
}

// AddJSON reads a flat JSON object. The errors are those of httpparse.JSONMembers.
func (p *Params) AddJSON(b []byte) error {
	var m httpparse.JSONMembers
	m.Init(b, p.arena)
	for m.Next() {
		if n, ok := lookup(m.Name); ok {
			p.set(n, m.Value)
		}
	}
	p.arena = m.Scratch()
	return m.Err()
}
