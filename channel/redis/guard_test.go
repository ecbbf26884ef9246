package redis

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestGuardLetsPass: whatever a server of any version may answer is followed to its end, in
// any pieces.
func TestGuardLetsPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, frames string }{
		{"+OK\r\n:1\r\n:-5\r\n", "[+OK : :]"},
		{"$-1\r\n*-1\r\n_\r\n", "[$ * _]"},
		{"$0\r\n\r\n*0\r\n%0\r\n~0\r\n", "[$ * % ~]"},
		{"=8\r\ntxt:a\r\nb\r\n", "[=txt:a\r\nb]"},
		{",1.5\r\n,inf\r\n#t\r\n(3492890328409238509324850943850943825024385\r\n", "[, , # (]"},
		{"-MOVED 1 127.0.0.1:7000\r\n!10\r\nERR a\r\nb c\r\n", "[-MOVED 1 127.0.0. !ERR a\r\nb c]"},
		{">3\r\n$12\r\nsunsubscribe\r\n$1\r\nx\r\n:0\r\n+PONG\r\n", "[>sunsubscribe +PONG]"},
		{">2\r\n+invalidate\r\n_\r\n", "[>invalidate]"},
		{"%2\r\n+a\r\n*2\r\n:1\r\n~1\r\n:2\r\n+b\r\n_\r\n", "[%a]"},
		{"|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+x\r\n%1\r\n+y\r\n:1\r\n$1\r\nz\r\n+OK\r\n", "[*z +OK]"},
		{"|0\r\n+OK\r\n", "[+OK]"},
	} {
		for size := range len(c.text) {
			var frames []string
			s := scanner{frame: func(f *frame) error {
				frames = append(frames, string(f.kind)+string(f.name()))
				return nil
			}}
			for piece := range slices.Chunk([]byte(c.text), size+1) {
				if err := s.scan(piece); err != nil {
					t.Fatalf("%q in pieces of %d: %v", c.text, size+1, err)
				}
			}
			if got := fmt.Sprint(frames); got != c.frames {
				t.Fatalf("%q in pieces of %d: %q, want %q", c.text, size+1, got, c.frames)
			}
		}
	}
}

// TestAllocsGuard: reading along costs no allocation.
func TestAllocsGuard(t *testing.T) {
	const command = "*3\r\n$7\r\nEVALSHA\r\n$3\r\nsha\r\n$5\r\nhello\r\n"
	const answer = "*2\r\n:1\r\n$5\r\nhello\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n"
	g := newGuard(nil, nil)
	ask, say := []byte(command), []byte(answer)
	both := func() {
		if err := errors.Join(g.out.scan(ask), g.in.scan(say)); err != nil {
			t.Fatal(err)
		}
	}
	both()
	if n := testing.AllocsPerRun(1000, both); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
