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
