package reactor

import "icomet/httpparse"

// values are decoded parameters. They alias the request or an arena.
type values struct {
	list [paramCount][]byte
	Has  [paramCount]bool
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

// hasAll reports that every parameter of s is given.
func (v *values) hasAll(s ParamSet) bool {
	for n := range paramCount {
		if s&(1<<n) != 0 && !v.Has[n] {
			return false
		}
	}
	return true
}

// params are the parameters of one request.
type params struct {
	values
	arena []byte

	// Of a request that may name several channels, each cname begins the parameters of the
	// next one. The values are those of the first, and of the connection.
	many   bool
	limit  int      // of channels; what is beyond is dropped, but for one
	more   []values // of the second channel and those behind it
	inBody bool     // the channels are named in the body: the query's cname does not count
}

// ofChannel are the parameters that stand behind the cname to which they belong.
var ofChannel = ParamsOf(ParamCname, ParamSeq, ParamToken, ParamEpoch, ParamLast)

// reset forgets the last request.
func (p *params) reset() {
	p.values = values{}
	if cap(p.arena) > maxPooled {
		p.arena = nil
	}
	p.arena = p.arena[:0]
	clear(p.more)
	p.more = p.more[:0]
	p.many, p.inBody = false, false
}

// Channels is how many channels the request names, if it may name several.
func (p *params) Channels() int {
	if !p.Has[ParamCname] {
		return 0
	}
	return 1 + len(p.more)
}

// Select makes the values those of channel i, from 0. The others are lost but for those
// behind it.
func (p *params) Select(i int) {
	if i > 0 {
		p.values = p.more[i-1]
	}
}

// set stores a parameter where it belongs.
func (p *params) set(n Param, value []byte) {
	switch last := len(p.more); {
	case !p.many || ofChannel&(1<<n) == 0 || !p.Has[ParamCname]:
		p.put(n, value)
	case p.inBody && (n == ParamCname || last > 0): // the body's channels are complete
	case n == ParamCname:
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

// ascii reports that all values are ASCII, which most charsets share.
func (p *params) ascii() bool {
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
			p.set(n, value)
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
			p.set(n, m.Value)
		}
	}
	p.arena = m.Scratch()
	return m.Err()
}
