package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"icomet/httpparse"
)

// lineEnders end a line for readers that go by Unicode.
const lineEnders = "\n\v\f\r\x1c\x1d\x1e\u0085\u2028\u2029"

// FuzzEncoding: whatever is pushed is a JSON string body that says the same, and
// inside a script it can end nothing.
func FuzzEncoding(f *testing.F) {
	for _, s := range []string{"", "a\"b\\c", "\x00\x1f\x7f\x80\xff", "</script>\u2028\u2029", "0123456\"", "\xe2\x80", "推\xe6送", "01234567\\89", "\xed\xa0\x80"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		body := AppendJSON(nil, raw)
		want := string([]rune(string(raw)))
		safe := appendScriptSafe(nil, body)
		for _, b := range [][]byte{body, safe} {
			var got string
			if err := json.Unmarshal([]byte(`"`+string(b)+`"`), &got); err != nil || got != want || !utf8.Valid(b) || !httpparse.ValidJSONString(b) {
				t.Errorf("%q: %q is %q, %v, want %q", raw, b, got, err, want)
			}
		}
		if strings.ContainsAny(string(body), lineEnders) {
			t.Errorf("%q: %q is not one line to every reader", raw, body)
		}
		if strings.ContainsAny(string(safe), "<"+lineEnders) {
			t.Errorf("%q: %q can end a script", raw, safe)
		}
	})
}

// FuzzReadable: a body that is JSON already keeps its text, is one line, and has no half of
// a surrogate pair. encoding/json reads such a half as U+FFFD.
func FuzzReadable(f *testing.F) {
	for _, s := range []string{"", `\ud83d`, `x\uDC00`, `\ud83d\ude00`, `\ud83d\ud83d\ude00`, `\\ud83d`, `\ud83d\u0041`, `\ud83dx`, `\ud83d\\ude00`,
		`\ufffd`, "\u2028a\u0085", `\u2028`, `\ude00\ud83d`, `\ud83d\n`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !httpparse.ValidJSONString(body) {
			return
		}
		got := AppendReadable([]byte("before"), body)
		if !bytes.HasPrefix(got, []byte("before")) {
			t.Fatalf("%q: %q", body, got)
		}
		got = got[len("before"):]
		var text, want string
		if err := json.Unmarshal([]byte(`"`+string(got)+`"`), &text); err != nil {
			t.Fatalf("%q: %q: %v", body, got, err)
		}
		_ = json.Unmarshal([]byte(`"`+string(body)+`"`), &want)
		if text != want || strings.ContainsAny(string(got), lineEnders) || !httpparse.ValidJSONString(got) {
			t.Errorf("%q becomes %q, which reads %q, want %q", body, got, text, want)
		}
		if half := loneSurrogate(got); half != "" {
			t.Errorf("%q becomes %q: %s has no other half", body, got, half)
		}
		if !bytes.ContainsAny(body, lineEnders) && loneSurrogate(body) == "" && !bytes.Equal(got, body) {
			t.Errorf("%q becomes %q without need", body, got)
		}
	})
}

// loneSurrogate finds an escaped half of a pair without the other.
func loneSurrogate(body []byte) string {
	high := ""
	for i := 0; i < len(body); i++ {
		unit := rune(0)
		if body[i] == '\\' && body[i+1] == 'u' {
			n, _ := strconv.ParseUint(string(body[i+2:i+6]), 16, 16)
			unit = rune(n)
			i += 5
		} else if body[i] == '\\' {
			i++
		}
		switch isLow := unit >= 0xDC00 && unit < 0xE000; {
		case isLow != (high != ""):
			return fmt.Sprintf("%s%x", high, unit)
		case unit >= 0xD800 && unit < 0xDC00:
			high = fmt.Sprintf("%x", unit)
		default:
			high = ""
		}
	}
	return high
}
