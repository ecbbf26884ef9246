//go:build linux && !race

package protocol

import (
	"fmt"
	"testing"
)

// sinkParts passes pieces on to the message parser, as a worker does.
type sinkParts struct {
	Contents
	d    Codec
	n    int
	each func(Message) error
}

func (s *sinkParts) Head(int, []byte) error { return nil }
func (s *sinkParts) End() error             { return nil }
func (s *sinkParts) Piece(b []byte) error   { return s.d.Messages(Stream, false, s.Contents, b, s.each) }

// TestAllocsPerDelivery: none, since the harness shares the machine with the server.
// (The race detector allocates, hence the build constraint.)
func TestAllocsPerDelivery(t *testing.T) {
	s := &sinkParts{Contents: NewContents(100), d: NewCodec(DialectIcomet, "p-")}
	s.each = func(m Message) error {
		if _, _, _, ok := s.Read(m.Content); ok {
			s.n++
		}
		return nil
	}
	m := fmt.Sprintf(`{"type":"data","cname":"p-7","seq":3,"content":"%s"}`+"\n", s.append(nil, 1, 7, 3))
	b := []byte(fmt.Sprintf("%x\r\n%s\r\n", len(m), m))
	w := Wire{phase: phaseChunks}
	allocations := testing.AllocsPerRun(100, func() {
		if used, err := w.Feed(b, s); err != nil || used != len(b) {
			t.Fatal(used, err)
		}
	})
	if allocations != 0 || s.n != 101 {
		t.Errorf("%g allocations a delivery, %d read", allocations, s.n)
	}
}

func BenchmarkDelivery(b *testing.B) {
	s := &sinkParts{Contents: NewContents(100), d: NewCodec(DialectIcomet, "p-")}
	s.each = func(m Message) error {
		_, _, _, _ = s.Read(m.Content)
		return nil
	}
	m := fmt.Sprintf(`{"type":"data","cname":"p-7","seq":3,"content":"%s"}`+"\n", s.append(nil, 1, 7, 3))
	chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", len(m), m))
	w := Wire{phase: phaseChunks}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Feed(chunk, s); err != nil {
			b.Fatal(err)
		}
	}
}
