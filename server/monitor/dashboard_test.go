package monitor

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestCutString: never inside an escape or a character, and as much as fits.
func TestCutString(t *testing.T) {
	for _, body := range []string{`a\nb`, `\u00e4x`, "aä😀b", `\\\"`, "plain"} {
		for limit := range len(body) + 2 {
			n := cutString(body, limit)
			var s string
			if n > limit || json.Unmarshal([]byte(`"`+body[:n]+`"`), &s) != nil || strings.Contains(s, "\uFFFD") {
				t.Errorf("%q cut at %d: %q", body, limit, body[:n])
			}
			if limit >= len(body) && n != len(body) {
				t.Errorf("%q fits into %d, cut at %d", body, limit, n)
			}
		}
	}
}

// TestContentLen: the size that is shown is that of the content, not of its escapes.
func TestContentLen(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		``: 0, `plain`: 5, `ä`: 2, `\"\\\n\/`: 4, `\u0000x`: 2, `\u00e4`: 2, `\u2028`: 3,
		`\ud83d\ude00`: 4, `😀`: 4, `\ud83dx`: 4, `\ud83d`: 3, `\ude00\ud83d`: 6, `\ud83d\u0041`: 4,
	} {
		if got := contentLen(body); got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
		var text string
		if err := json.Unmarshal([]byte(`"`+body+`"`), &text); err != nil || len(text) != want {
			t.Errorf("%s stands for %d bytes (%v)", body, len(text), err)
		}
	}
}
