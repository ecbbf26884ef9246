package redis

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// guard stands between the socket and the client library, which panics in a goroutine of
// its own when a server breaks the protocol: a wrong length, an answer that nobody asked
// for, a subscription's confirmation at the wrong place. The guard reads along and makes
// such a connection fail instead.
type guard struct {
	net.Conn
	out    scanner // commands; the library's writer uses it
	in     scanner // answers; the library's reader uses it
	asked  askedQueue
	closed func(*guard)
}

func newGuard(c net.Conn, closed func(*guard)) *guard {
	g := &guard{Conn: c, closed: closed}
	g.out.frame = g.asked.command
	g.in.frame = g.asked.answer
	return g
}

func (g *guard) Write(p []byte) (int, error) {
	if err := g.out.scan(p); err != nil {
		return 0, err // a command that the scanner does not understand: never happens
	}
	return g.Conn.Write(p)
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n > 0 {
		if broken := g.in.scan(p[:n]); broken != nil {
			_ = g.Close()
			return 0, fmt.Errorf("redis breaks the protocol: %w", broken)
		}
	}
	return n, err
}

func (g *guard) Close() error {
	g.closed(g)
	return g.Conn.Close()
}

const (
	// maxBulk (bytes), maxElements and maxDepth bound what an answer may claim to have,
	// because the library makes room for it at once. 512 MB is Redis's own limit.
	maxBulk     = 512 << 20
	maxElements = 1 << 24
	maxDepth    = 8
	maxLine     = 64 << 10
)

var (
	errLength   = errors.New("a wrong length")
	errType     = errors.New("a value of an unknown type")
	errLine     = errors.New("a line without end")
	errDepth    = errors.New("values within values without end")
	errUnasked  = errors.New("an answer that nobody has asked for")
	errSubUnask = errors.New("the confirmation of a subscription that nobody has asked for")
)

// frame is one whole value at the top level.
type frame struct {
	kind  byte           // its first byte
	first [firstLen]byte // the first text in it, cut
	len   int            // of first
	n     int            // its elements
}

// name is the first text. It is a view: the frame must not change meanwhile.
func (f *frame) name() []byte { return f.first[:f.len] }

// begin adds to the first text.
func (f *frame) begin(p []byte) { f.len += copy(f.first[f.len:], p) }

// firstLen is enough for the names of the commands and events that matter.
const firstLen = 16

// scanner follows RESP through any fragmentation, without keeping the values.
type scanner struct {
	frame func(*frame) error // called at the end of each value of the top level

	line  []byte // of the present header line, without its end
	skip  int    // bytes left of a bulk text, its CRLF included
	text  bool   // the bulk text is the first of its frame
	stack [maxDepth]int
	about [maxDepth]bool // an attribute, which is no value, but precedes one
	depth int
	now   frame
}

func (s *scanner) scan(p []byte) error {
	for len(p) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			if s.text {
				s.now.begin(p[:max(0, min(n, s.skip-2))])
			}
			s.skip, p = s.skip-n, p[n:]
			if s.skip == 0 {
				s.text = false
				if err := s.valueEnds(); err != nil {
					return err
				}
			}
			continue
		}
		c := p[0]
		p = p[1:]
		if c != '\n' {
			if s.line = append(s.line, c); len(s.line) > maxLine {
				return errLine
			}
			if len(s.line) == 1 && !known1st(c) {
				return errType
			}
			continue
		}
		if n := len(s.line); n < 2 || s.line[n-1] != '\r' {
			return errLine
		}
		err := s.header(s.line[0], s.line[1:len(s.line)-1])
		if s.line = s.line[:0]; err != nil {
			return err
		}
	}
	return nil
}

func known1st(c byte) bool {
	switch c {
	case '$', '=', '!', '*', '~', '>', '%', '|', '+', '-', ':', '_', ',', '#', '(':
		return true
	}
	return false
}

// header handles one line: a whole value, or the head of one.
func (s *scanner) header(kind byte, rest []byte) error {
	if s.depth == 0 {
		s.now = frame{kind: kind}
	}
	switch kind {
	case '$', '=', '!':
		n, err := length(rest, maxBulk, kind == '$')
		if err != nil {
			return err
		}
		if n < 0 {
			return s.valueEnds()
		}
		s.skip, s.text = n+2, s.now.len == 0 && s.depth <= 1
		return nil
	case '*', '~', '>', '%', '|':
		n, err := length(rest, maxElements, kind == '*')
		if err != nil {
			return err
		}
		if kind == '%' || kind == '|' {
			n *= 2
		}
		if s.depth == 0 {
			s.now.n = n
		}
		if n <= 0 && kind == '|' {
			return nil
		}
		if n <= 0 {
			return s.valueEnds()
		}
		if s.depth == maxDepth {
			return errDepth
		}
		s.stack[s.depth], s.about[s.depth] = n, kind == '|'
		s.depth++
		return nil
	case ':':
		if _, err := strconv.ParseInt(string(rest), 10, 64); err != nil {
			return errLength
		}
	case '_':
		if len(rest) > 0 {
			return errType
		}
	case '#':
		if len(rest) != 1 {
			return errType
		}
	case '+', '-':
		if s.now.len == 0 && s.depth <= 1 {
			s.now.begin(rest)
		}
	}
	return s.valueEnds()
}

// length reads the length of a text or the number of elements; -1 stands for null.
func length(b []byte, most int, null bool) (int, error) {
	if null && len(b) == 2 && b[0] == '-' && b[1] == '1' {
		return -1, nil
	}
	if len(b) == 0 || len(b) > 10 {
		return 0, errLength
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errLength
		}
		n = n*10 + int(c-'0')
	}
	if n > most {
		return 0, errLength
	}
	return n, nil
}

// valueEnds counts a value as complete, and with it all that it completes.
func (s *scanner) valueEnds() error {
	for s.depth > 0 {
		if s.stack[s.depth-1]--; s.stack[s.depth-1] > 0 {
			return nil
		}
		if s.depth--; s.about[s.depth] {
			return nil
		}
	}
	return s.frame(&s.now)
}

// askedQueue has the commands that have no answer yet, so that each answer can be held
// against what was asked.
type askedQueue struct {
	mu   sync.Mutex
	list []int // for each command: confirmations that are to come, or 0 for one answer
	at   int
}

// command notes a command that is sent.
func (q *askedQueue) command(f *frame) error {
	wait := 0
	switch string(f.name()) { // the library writes names in upper case
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		wait = f.n - 1
	case "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
		return nil // its confirmations may come unasked, too; the library adds a PING
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.at == len(q.list) {
		q.list, q.at = q.list[:0], 0
	} else if q.at > 4096 && q.at > len(q.list)/2 {
		q.list, q.at = append(q.list[:0], q.list[q.at:]...), 0
	}
	q.list = append(q.list, wait)
	return nil
}

// answer takes what has come off the list.
func (q *askedQueue) answer(f *frame) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if f.kind == '>' {
		return q.pushed(f.name())
	}
	if q.at == len(q.list) {
		return errUnasked
	}
	if q.list[q.at] > 0 && f.kind != '-' && f.kind != '!' {
		return errUnasked
	}
	q.at++
	return nil
}

func (q *askedQueue) pushed(event []byte) error {
	switch string(event) {
	case "subscribe", "psubscribe", "ssubscribe":
		if q.at == len(q.list) || q.list[q.at] == 0 {
			return errSubUnask
		}
		if q.list[q.at]--; q.list[q.at] == 0 {
			q.at++
		}
	}
	return nil
}
