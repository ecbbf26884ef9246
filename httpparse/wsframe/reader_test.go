package wsframe

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

// log is what a Reader said about some bytes, in words.
type log struct {
	t    testing.TB
	text strings.Builder
	r    Reader
	buf  []byte
	err  *Error
}

// feed passes one piece, which it overwrites afterwards: the Reader must not look at it
// again.
func (l *log) feed(piece []byte, rules Rules) {
	l.t.Helper()
	piece = exact(piece)
	for rest := piece; len(rest) > 0; {
		ev, n, err := l.r.Next(rest, &l.buf, rules)
		if n <= 0 || n > len(rest) || ev.Kind == None && err == nil && n < len(rest) {
			l.t.Fatalf("read %d of %d bytes, event %+v, error %v", n, len(rest), ev, err)
		}
		if (ev.Kind != None || err != nil) && l.err != nil {
			l.t.Fatalf("after %v: %+v, %v", l.err, ev, err)
		}
		if len(l.buf) > max(rules.Limit, 0)+maxControl {
			l.t.Fatalf("%d bytes kept with a limit of %d", len(l.buf), rules.Limit)
		}
		l.note(ev, err)
		rest = rest[n:]
	}
	for i := range piece {
		piece[i] = 0xee
	}
}

func (l *log) note(ev Event, err error) {
	if errors.As(err, &l.err) {
		fmt.Fprintf(&l.text, "%d %s\n", l.err.Code, l.err.Text)
		return
	}
	name := [...]string{"", "text", "ping", "pong", "close"}[ev.Kind]
	switch {
	case ev.Kind == None:
		return
	case ev.Kind == Close:
		name = fmt.Sprintf("close %d", ev.Code)
	case ev.Compressed:
		name = "compressed text"
	}
	if len(ev.Payload) > 200 {
		fmt.Fprintf(&l.text, "%s of %d bytes, %q to %q\n", name, len(ev.Payload), ev.Payload[:4], ev.Payload[len(ev.Payload)-4:])
		return
	}
	fmt.Fprintf(&l.text, "%s %q\n", name, ev.Payload)
}

// end returns what was said, and whether the rest is a part of something.
func (l *log) end() string {
	if !l.r.Idle() && l.r.state != stateDone {
		l.text.WriteString("unfinished\n")
	}
	if l.r.Idle() && len(l.buf) > 0 {
		l.t.Fatalf("idle, but %q is kept", l.buf)
	}
	return l.text.String()
}

func inPieces(t testing.TB, rules Rules, pieces ...[]byte) string {
	t.Helper()
	l := log{t: t}
	for _, p := range pieces {
		l.feed(p, rules)
	}
	return l.end()
}

// checkPieces checks that what a Reader says depends only on the bytes. It returns it.
func checkPieces(t testing.TB, b []byte, rules Rules) string {
	t.Helper()
	want := inPieces(t, rules, b)
	check := func(how string, pieces ...[]byte) {
		t.Helper()
		if got := inPieces(t, rules, pieces...); got != want {
			t.Fatalf("%q %s:\n%swant:\n%s", b, how, got, want)
		}
	}
	step := 1
	if len(b) > 4<<10 {
		step = len(b) / 50 // a header of a long one is cut by the pieces below
	}
	for cut := 1; cut < len(b); cut += step {
		check(fmt.Sprintf("cut at %d", cut), b[:cut], b[cut:])
	}
	for _, size := range []int{1, 2, 3, 7} {
		var pieces [][]byte
		for i := 0; i < len(b); i += size {
			pieces = append(pieces, b[i:min(i+size, len(b))])
		}
		check(fmt.Sprintf("in pieces of %d", size), pieces...)
	}
	return want
}

func TestFrames(t *testing.T) {
	runCases(t, "testdata/frames/*.txt", func(t *testing.T, c *testCase) string {
		return checkPieces(t, c.bytes(t), c.rules(t))
	})
}

func TestReaderIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Reader{}); size != 16 {
		t.Errorf("%d bytes", size)
	}
}

// A message that comes whole is not copied, and neither is a ping within a message: the
// buffer stays unused.
func TestWholeStaysInPlace(t *testing.T) {
	b := append(clientFrame(bitFin|opText, "hello"), clientFrame(bitFin|opPing, "x")...)
	var r Reader
	var buf []byte
	for _, want := range []string{"hello", "x"} {
		ev, n, err := r.Next(b, &buf, testRules)
		if err != nil || string(ev.Payload) != want || &ev.Payload[0] != &b[n-len(want)] || buf != nil || !r.Idle() {
			t.Fatalf("%q, %v, buffer %q", ev.Payload, err, buf)
		}
		b = b[n:]
	}
}

// A client that claims a large message and sends little of it takes little memory.
func TestMemoryFollowsTheBytes(t *testing.T) {
	var r Reader
	var buf []byte
	head := []byte{bitFin | opText, bitMask | 127, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 1, 2, 3, 4, 'x'}
	if _, n, err := r.Next(head, &buf, Rules{Limit: 1 << 30}); n != len(head) || err != nil || cap(buf) > 64 {
		t.Errorf("read %d, %v, buffer of %d", n, err, cap(buf))
	}
}

// A limit that was lowered in the middle of a message counts for what comes then.
func TestLimitLowered(t *testing.T) {
	l := log{t: t}
	l.feed(clientFrame(opText, "hello"), Rules{Limit: 10})
	l.feed(clientFrame(opContinuation, ""), Rules{Limit: 3})
	l.feed(clientFrame(bitFin|opContinuation, "x"), Rules{Limit: 3})
	if got := l.end(); got != "1009 the message is too large\n" {
		t.Error(got)
	}
}

func TestUnmask(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	const le = 0x3d21fa37
	for size := range 100 {
		for cut := range size + 1 {
			b := bytes.Repeat([]byte{'a'}, size)
			for i := range b {
				b[i] ^= key[i%4]
			}
			guarded := append(exact(b), 0x55)
			b = guarded[:size]
			unmask(b[cut:], unmask(b[:cut], le))
			if string(b) != strings.Repeat("a", size) || guarded[size] != 0x55 {
				t.Fatalf("%d bytes cut at %d: %q", size, cut, guarded)
			}
		}
	}
}

// validText against a search for an ending that makes the text valid.
func TestPartialText(t *testing.T) {
	var endings []string
	for _, c := range []rune{0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xcfff, 0xd000, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x3ffff, 0x40000, 0xfffff, 0x100000, 0x10ffff} {
		for n := range len(string(c)) {
			endings = append(endings, string(c)[n:])
		}
	}
	tails := []byte{0x00, 'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff}
	for _, x := range tails {
		for _, y := range tails {
			for _, z := range tails {
				b := []byte{x, y, z}
				want := validText(b, true)
				for _, e := range endings {
					want = want || validText(append(b[:3:3], e...), true)
				}
				if got := validText(b, false); got != want {
					t.Errorf("%q: %v", b, got)
				}
			}
		}
	}
}

// clientFrame returns a masked frame.
func clientFrame(head byte, payload string) []byte {
	b := []byte{head}
	switch n := len(payload); {
	case n <= maxControl:
		b = append(b, bitMask|byte(n))
	case n <= 0xffff:
		b = append(b, bitMask|126, byte(n>>8), byte(n))
	default:
		b = append(b, bitMask|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	const mask = 0x3d21fa37
	b = append(b, 0x37, 0xfa, 0x21, 0x3d)
	at := len(b)
	b = append(b, payload...)
	unmask(b[at:], mask)
	return b
}
