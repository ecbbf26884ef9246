package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"icomet/httpparse"
)

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
		if strings.ContainsAny(string(safe), "<\u2028\u2029\n\r") {
			t.Errorf("%q: %q can end a script", raw, safe)
		}
	})
}
