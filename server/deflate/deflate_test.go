package deflate

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestAppend: the standard library reads what Append writes, and the other way round.
func TestAppend(t *testing.T) {
	for _, text := range []string{"", "x", strings.Repeat("abc", 1000), strings.Repeat("\u00e9", 70_000)} {
		got := Append([]byte("before"), []byte(text))
		if !bytes.HasPrefix(got, []byte("before")) {
			t.Fatal("dst is lost")
		}
		data := got[len("before"):]
		read, err := io.ReadAll(stdflate.NewReader(io.MultiReader(bytes.NewReader(data), bytes.NewReader(tail))))
		if err != nil || string(read) != text {
			t.Errorf("%d bytes: read %d, %v", len(text), len(read), err)
		}
		back, err := AppendInflated([]byte("before"), data, len(text))
		if err != nil || string(back) != "before"+text {
			t.Errorf("%d bytes: inflated to %d, %v", len(text), len(back), err)
		}
	}
}

// TestBomb: a small message that inflates to much is given up at the limit.
func TestBomb(t *testing.T) {
	bomb := Append(nil, make([]byte, 100<<20))
	got, err := AppendInflated(nil, bomb, 8<<10)
	if !errors.Is(err, ErrTooLarge) || cap(got) > 64<<10 {
		t.Errorf("%v, %d bytes of memory, of %d compressed bytes", err, cap(got), len(bomb))
	}
}

// TestBroken: what is no deflate stream is an error.
func TestBroken(t *testing.T) {
	good := Append(nil, []byte(strings.Repeat("abcdefgh", 100)))
	for name, data := range map[string][]byte{"garbage": {0xff, 0xfe, 0xfd}, "cut": good[:len(good)/2]} {
		if got, err := AppendInflated(nil, data, 1<<20); !errors.Is(err, ErrData) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
