package wsframe

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWrite(t *testing.T) {
	long := strings.Repeat("p", 200)
	for _, c := range []struct {
		why       string
		got, want string
	}{
		{"a text: the example of RFC 6455 section 5.7", string(AppendText(nil, []byte("Hello"))), "\x81\x05Hello"},
		{"an empty text", string(AppendText(nil, nil)), "\x81\x00"},
		{"the longest of 2 bytes", string(AppendHeader(nil, 125, false)), "\x81\x7d"},
		{"the shortest of 4", string(AppendHeader(nil, 126, false)), "\x81\x7e\x00\x7e"},
		{"the longest of 4", string(AppendHeader(nil, 65535, false)), "\x81\x7e\xff\xff"},
		{"the shortest of 10", string(AppendHeader(nil, 65536, false)), "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
		{"RSV1", string(AppendHeader(nil, 7, true)), "\xc1\x07"},
		{"RSV1, long", string(AppendHeader(nil, 65536, true)), "\xc1\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
		{"a ping", string(AppendPing(nil, []byte("Hello"))), "\x89\x05Hello"},
		{"an empty ping", string(AppendPing(nil, nil)), "\x89\x00"},
		{"a pong: the example of RFC 6455 section 5.7", string(AppendPong(nil, []byte("Hello"))), "\x8a\x05Hello"},
		{"a ping that is too long", string(AppendPing(nil, []byte(long))), "\x89\x7d" + long[:125]},
		{"a close", string(AppendClose(nil, CodeGoingAway, "bye")), "\x88\x05\x03\xe9bye"},
		{"a close without a reason", string(AppendClose(nil, CodeNormal, "")), "\x88\x02\x03\xe8"},
		{"a close without a code", string(AppendClose(nil, CodeNone, "bye")), "\x88\x00"},
		{"the longest reason", string(AppendClose(nil, CodeNormal, long[:123])), "\x88\x7d\x03\xe8" + long[:123]},
		{"a longer one", string(AppendClose(nil, CodeNormal, long)), "\x88\x7d\x03\xe8" + long[:123]},
		{"a longer one that is cut before a character", string(AppendClose(nil, CodeNormal, long[:121]+"推送")), "\x88\x7b\x03\xe8" + long[:121]},
		{"what is there already stays", string(AppendPong(AppendText([]byte("x"), []byte("a")), []byte("b"))), "x\x81\x01a\x8a\x01b"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q\nwant %q", c.why, c.got, c.want)
		}
	}
}

// Headers fit the constant that callers reserve room by.
func TestMaxHeader(t *testing.T) {
	if n := len(AppendHeader(nil, 1<<40, true)); n != MaxHeader {
		t.Errorf("%d bytes", n)
	}
}

// Every sentence of an error fits into a close frame.
func TestErrorsFit(t *testing.T) {
	for _, e := range []*Error{
		ErrReservedBit, ErrReservedOpcode, ErrControlPart, ErrControlLength, ErrNoStart, ErrNoEnd, ErrNotMasked, ErrLengthForm,
		ErrLengthTopBit, ErrCloseLength, ErrCloseCode, ErrCloseReason, ErrBinary, ErrText, ErrTooLarge,
	} {
		frames := serverFrames(t, AppendClose(nil, e.Code, e.Text))
		if len(frames) != 1 || frames[0].payload[2:] != e.Error() || !mayBeSent(e.Code) {
			t.Errorf("%v: %+v", e, frames)
		}
	}
}

// FuzzWrite reads back what is written.
func FuzzWrite(f *testing.F) {
	f.Add("hello", uint16(1000))
	f.Add(strings.Repeat("推", 50), uint16(1005))
	f.Fuzz(func(t *testing.T, text string, code uint16) {
		b := AppendText(nil, []byte(text))
		b = append(AppendHeader(b, len(text), true), text...)
		b = AppendPing(b, []byte(text))
		b = AppendPong(b, []byte(text))
		b = AppendClose(b, code, text)
		frames := serverFrames(t, b)
		if len(frames) != 5 {
			t.Fatalf("%d frames", len(frames))
		}
		for i, op := range []byte{opText, opText, opPing, opPong, opClose} {
			if frames[i].op != op || frames[i].compressed != (i == 1) {
				t.Errorf("frame %d: %+v", i, frames[i])
			}
		}
		short := text[:min(len(text), maxControl)]
		if frames[0].payload != text || frames[1].payload != text || frames[2].payload != short || frames[3].payload != short {
			t.Errorf("%q comes back as %+v", text, frames)
		}
		p := frames[4].payload
		switch {
		case code == CodeNone && p == "":
		case len(p) < 2 || len(p) > maxControl || !strings.HasPrefix(text, p[2:]) || !bytes.Equal([]byte(p[:2]), []byte{byte(code >> 8), byte(code)}):
			t.Errorf("%d %q comes back as %q", code, text, p)
		case utf8.ValidString(text) && (!utf8.ValidString(p[2:]) || len(text) > 123 && len(p) < 122):
			t.Errorf("the reason %q is cut to %q", text, p[2:])
		}
	})
}
