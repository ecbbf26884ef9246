//go:build linux && !race

package bench

import (
	"fmt"
	"testing"
)

// sinkParts passes pieces on to the message parser, as a worker does.
type sinkParts struct {
	contents
	d    dialect
	n    int
	each func(message) error
}

func (s *sinkParts) head(int, []byte) error { return nil }
func (s *sinkParts) end() error             { return nil }
func (s *sinkParts) piece(b []byte) error   { return s.d.messages(Stream, s.contents, b, s.each) }

// TestAllocsPerDelivery: none, since the harness shares the machine with the server.
// (The race detector allocates, hence the build constraint.)
func TestAllocsPerDelivery(t *testing.T) {
	s := &sinkParts{contents: newContents(100), d: newDialect(DialectIcomet, "p-")}
	s.each = func(m message) error {
		if _, _, _, ok := s.read(m.content); ok {
			s.n++
		}
		return nil
	}
	m := fmt.Sprintf(`{"type":"data","cname":"p-7","seq":3,"content":"%s"}`+"\n", s.append(nil, 1, 7, 3))
	b := []byte(fmt.Sprintf("%x\r\n%s\r\n", len(m), m))
	w := wire{phase: phaseChunks}
	allocations := testing.AllocsPerRun(100, func() {
		if used, err := w.feed(b, s); err != nil || used != len(b) {
			t.Fatal(used, err)
		}
	})
	if allocations != 0 || s.n != 101 {
		t.Errorf("%g allocations a delivery, %d read", allocations, s.n)
	}
}

func BenchmarkDelivery(b *testing.B) {
	s := &sinkParts{contents: newContents(100), d: newDialect(DialectIcomet, "p-")}
	s.each = func(m message) error {
		_, _, _, _ = s.read(m.content)
		return nil
	}
	m := fmt.Sprintf(`{"type":"data","cname":"p-7","seq":3,"content":"%s"}`+"\n", s.append(nil, 1, 7, 3))
	chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", len(m), m))
	w := wire{phase: phaseChunks}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.feed(chunk, s); err != nil {
			b.Fatal(err)
		}
	}
}
