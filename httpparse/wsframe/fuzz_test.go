package wsframe

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coder/websocket"
)

func addSeeds(f *testing.F, pattern string, add func(b []byte, rules Rules)) {
	files, _ := filepath.Glob(pattern)
	for _, path := range files {
		for _, c := range readCases(f, path) {
			if b := c.bytes(f); len(b) < 2<<10 {
				add(b, c.rules(f))
			}
		}
	}
}

// FuzzReader compares Reader with coder/websocket, and with itself on the same bytes in
// other pieces.
func FuzzReader(f *testing.F) {
	addSeeds(f, "testdata/frames/*.txt", func(b []byte, rules Rules) { f.Add(b, uint16(rules.Limit), rules.Deflate) })
	f.Fuzz(func(t *testing.T, b []byte, limit uint16, deflate bool) {
		if len(b) > 2<<10 {
			return // checkPieces is quadratic
		}
		rules := Rules{Limit: int(limit), Deflate: deflate}
		checkPieces(t, b, rules)
		if !deflate {
			compareWithOracle(t, b, rules)
		}
	})
}

// FuzzFrames builds frames from the fuzzer's bytes, so that most of them are valid: three
// bytes make the head, the length and the cut of each.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x81, 5, 0}, "hello", uint16(100))
	f.Add([]byte{0x01, 3, 0, 0x89, 4, 0, 0x00, 130, 1, 0x80, 1, 0}, "a推b😀 text that is long enough for all", uint16(1000))
	f.Add([]byte{0x81, 255, 3, 0x8a, 0, 0, 0x88, 0, 0}, "\x03\xe8bye", uint16(1000))
	f.Fuzz(func(t *testing.T, shape []byte, text string, limit uint16) {
		var b []byte
		for i := 0; i+2 < len(shape) && len(b) < 2<<10; i += 3 {
			n := min(int(shape[i+1])+int(shape[i+2]&3)*200, len(text))
			b = append(b, clientFrame(shape[i], text[:n])...)
			if shape[i+2]&0x80 == 0 {
				text = text[n:]
			}
		}
		rules := Rules{Limit: int(limit)}
		checkPieces(t, b, rules)
		compareWithOracle(t, b, rules)
	})
}

func compareWithOracle(t *testing.T, b []byte, rules Rules) {
	t.Helper()
	ours, fail := read(b, rules)
	if fail != nil {
		b = append(b[:len(b):len(b)], make([]byte, 14)...) // the oracle wants whole headers
	}
	theirs := oracle(t, b, rules.Limit)
	describe := func(what string) {
		t.Helper()
		t.Fatalf("%q, limit %d: %s\nours:   %+v, %v\ntheirs: %+v", b, rules.Limit, what, ours, fail, theirs)
	}
	if !isPrefix(ours.messages, theirs.messages) || !isPrefix(ours.pings, theirs.pings) {
		describe("other messages or pings")
	}
	if fail == nil {
		same := len(ours.messages) == len(theirs.messages) && len(ours.pings) == len(theirs.pings) &&
			ours.closed == theirs.closed && ours.closeCode == theirs.closeCode && theirs.failure == 0 && !theirs.silent
		if !same {
			describe("not the same end")
		}
		return
	}
	if theirs.failure != fail.Code && !stricter(fail, &ours, &theirs) {
		describe("refused without a listed reason")
	}
}

// stricter reports whether fail is a refusal that only Reader has, or has earlier, and the
// bytes have what it is about, as far as the oracle tells.
func stricter(fail *Error, ours, theirs *verdict) bool {
	next := "" // their message after those that both have
	at := len(ours.messages)
	has := at < len(theirs.messages)
	if has {
		next = theirs.messages[at]
	}
	if theirs.silent && !has {
		// A frame that is not masked, or the top bit of a length: it closes without a word,
		// and before it looks at the rest of the header.
		return true
	}
	switch fail {
	case ErrLengthForm: // does not look
		return true
	case ErrControlLength: // accepts a short length in a long form
		return len(theirs.pings) > len(ours.pings) || theirs.closed || !has && theirs.failure == 0
	case ErrBinary:
		return !has || theirs.binary == at
	case ErrText: // does not look
		return !has || !utf8.ValidString(next)
	case ErrTooLarge: // only when it has come
		return !has
	case ErrCloseReason: // does not look
		return theirs.closed
	}
	return false
}

func read(b []byte, rules Rules) (v verdict, fail *Error) {
	var r Reader
	var buf []byte
	for rest := exact(b); len(rest) > 0; {
		ev, n, err := r.Next(rest, &buf, rules)
		if errors.As(err, &fail) {
			return v, fail
		}
		rest = rest[n:]
		switch ev.Kind {
		case Text:
			v.messages = append(v.messages, string(ev.Payload))
		case Ping:
			v.pings = append(v.pings, string(ev.Payload))
		case Close:
			v.closed, v.closeCode = true, ev.Code
		}
	}
	return v, nil
}

func isPrefix(a, b []string) bool { return len(a) <= len(b) && slices.Equal(a, b[:len(a)]) }

// TestOracle runs the comparison on all cases, also the long ones.
func TestOracle(t *testing.T) {
	files, _ := filepath.Glob("testdata/frames/*.txt")
	for _, path := range files {
		for _, c := range readCases(t, path) {
			if rules := c.rules(t); !rules.Deflate {
				t.Run(c.prose, func(t *testing.T) { compareWithOracle(t, c.bytes(t), rules) })
			}
		}
	}
}

// FuzzUpgrade compares Upgrade with coder/websocket. What Upgrade accepts the other must
// accept alike; Upgrade may refuse more only for the reasons listed.
func FuzzUpgrade(f *testing.F) {
	addSeeds(f, "testdata/handshakes/*.txt", func(b []byte, _ Rules) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok, err := upgrade(b)
		if !ok {
			return
		}
		request, stdErr := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if stdErr != nil {
			return // FuzzParse of httpparse is about that
		}
		c, w, theirErr := accept(request, nil, websocket.CompressionNoContextTakeover)
		if theirErr == nil {
			_ = c.CloseNow()
		}
		switch {
		case err == nil && theirErr != nil:
			t.Fatalf("%q: coder/websocket refuses: %v", b, theirErr)
		case err != nil && theirErr == nil:
			if !stricterUpgrade(err, request) {
				t.Fatalf("%q: refused without a listed reason: %v", b, err)
			}
		case err == nil:
			compareAnswers(t, b, &h, w.header)
		}
	})
}

func compareAnswers(t *testing.T, b []byte, h *Handshake, theirs http.Header) {
	t.Helper()
	if got, want := string(AppendAccept(nil, h.Key)), theirs.Get("Sec-WebSocket-Accept"); got != want {
		t.Errorf("%q: accepted with %s, coder/websocket: %s", b, got, want)
	}
	if got, want := string(h.Protocol), theirs.Get("Sec-WebSocket-Protocol"); got != want {
		t.Errorf("%q: protocol %q, coder/websocket: %q", b, got, want)
	}
	// coder/websocket reads neither quotes nor white space around '=', takes a repeated
	// parameter and any size, and does not confirm the window.
	plain := !strings.ContainsAny(string(b), "\"=; \t")
	if got, want := h.Deflate != DeflateNone, theirs.Get("Sec-WebSocket-Extensions") != ""; plain && got != want {
		t.Errorf("%q: deflate %v, coder/websocket: %v", b, got, want)
	}
}

// stricterUpgrade reports whether err is a refusal that only Upgrade has, and the request
// has what it is about.
func stricterUpgrade(err error, r *http.Request) bool {
	switch err {
	case ErrUpgrade: // compares with the folding of Unicode
		return strings.ContainsAny(strings.Join(r.Header.Values("Upgrade"), ""), "\u017f\u212a")
	case ErrBody:
		return r.ContentLength != 0
	case ErrVersion: // the first of several counts
		return len(r.Header.Values("Sec-WebSocket-Version")) > 1
	}
	return false
}
