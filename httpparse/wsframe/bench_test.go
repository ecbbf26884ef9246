package wsframe

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"icomet/httpparse"
)

// BenchmarkRead is a header, removing the mask, and checking the text. The mask is zero, so
// that the frame is the same in every round.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 4 << 10} {
		for _, text := range []string{"a", "推"} {
			payload := strings.Repeat(text, size)[:size/len(text)*len(text)]
			frame := clientFrame(bitFin|opText, payload)
			head := len(frame) - len(payload)
			clear(frame[head-4 : head])
			copy(frame[head:], payload)
			b.Run(fmt.Sprintf("%d/%s", size, text), func(b *testing.B) {
				b.SetBytes(int64(len(frame)))
				b.ReportAllocs()
				var buf []byte
				for b.Loop() {
					var r Reader
					if ev, n, err := r.Next(frame, &buf, Rules{Limit: size}); err != nil || ev.Kind != Text || n != len(frame) {
						b.Fatal(ev, n, err)
					}
				}
			})
		}
	}
}

// BenchmarkReadDribble is the same 100 bytes, which arrive one by one.
func BenchmarkReadDribble(b *testing.B) {
	payload := strings.Repeat("a", 100)
	frame := clientFrame(bitFin|opText, payload)
	clear(frame[2:6])
	copy(frame[6:], payload)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		var r Reader
		var last Event
		for i := range frame {
			last, _, _ = r.Next(frame[i:i+1], &buf, testRules)
		}
		if last.Kind != Text {
			b.Fatal(last)
		}
	}
}

func BenchmarkUnmask(b *testing.B) {
	for _, size := range []int{100, 4 << 10} {
		p := bytes.Repeat([]byte{'a'}, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				unmask(p, 0x3d21fa37)
			}
		})
	}
}

func BenchmarkAppendText(b *testing.B) {
	text := bytes.Repeat([]byte{'a'}, 100)
	dst := make([]byte, 0, 200)
	b.SetBytes(100)
	b.ReportAllocs()
	for b.Loop() {
		if len(AppendText(dst, text)) != 102 {
			b.Fatal()
		}
	}
}

func BenchmarkUpgrade(b *testing.B) {
	var r httpparse.Request
	if err := httpparse.Parse(&r, []byte(plainHandshake), 0, &requestLimits); err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		h, err := Upgrade(&r)
		if err != nil || len(AppendAccept(dst, h.Key)) != 28 {
			b.Fatal(err)
		}
	}
}
