package wire

import (
	"bytes"
	"testing"
)

// TestPlainEnd puts every byte at every place of a plain text: the scan by eight
// must stop there exactly when the byte needs a look.
func TestPlainEnd(t *testing.T) {
	for at := range 20 {
		for b := range 256 {
			text := bytes.Repeat([]byte("x"), 20)
			text[at] = byte(b)
			want := len(text)
			if needsEscape[b] {
				want = at
			}
			for from := range at + 1 {
				if got := plainEnd(text, from); got != want {
					t.Fatalf("byte %#x at %d, from %d: stops at %d", b, at, from, got)
				}
			}
		}
	}
}
