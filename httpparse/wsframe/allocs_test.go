//go:build !race

package wsframe

import (
	"testing"

	"icomet/httpparse"
)

// checkAllocs: in the steady state, when the buffers have grown, nothing is allocated.
func checkAllocs(t *testing.T, f func()) {
	t.Helper()
	f()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// A whole frame needs no memory at all: neither a Reader nor a buffer that outlives the
// call.
func TestAllocsWhole(t *testing.T) {
	b := append(clientFrame(bitFin|opText, `{"type":"ping"}`), clientFrame(bitFin|opPing, "x")...)
	work := make([]byte, len(b))
	checkAllocs(t, func() {
		copy(work, b)
		var r Reader
		var buf []byte
		for rest := work; len(rest) > 0; {
			ev, n, err := r.Next(rest, &buf, testRules)
			if err != nil || ev.Kind == None {
				t.Fatal(ev, err)
			}
			rest = rest[n:]
		}
	})
}

func TestAllocsPieces(t *testing.T) {
	b := append(clientFrame(opText, "a推b"), clientFrame(bitFin|opPing, "x")...)
	b = append(b, clientFrame(bitFin|opContinuation, "送😀")...)
	b = append(b, clientFrame(bitFin|opBinary, "x")...)
	work := make([]byte, len(b))
	var buf []byte
	checkAllocs(t, func() {
		copy(work, b)
		var r Reader
		events := 0
		for i := range work {
			ev, _, err := r.Next(work[i:i+1], &buf, testRules)
			if ev.Kind != None {
				events++
			}
			if err != nil && err != ErrBinary {
				t.Fatal(err)
			}
		}
		if events != 2 {
			t.Fatal(events)
		}
	})
}

func TestAllocsWrite(t *testing.T) {
	payload := make([]byte, 300)
	dst := make([]byte, 0, 1<<10)
	checkAllocs(t, func() {
		b := AppendText(dst, payload)
		b = AppendPing(b, payload)
		b = AppendPong(b, payload)
		b = AppendClose(b, CodeNormal, ErrText.Text)
		if len(b) > cap(dst) {
			t.Fatal(len(b))
		}
	})
}

func TestAllocsUpgrade(t *testing.T) {
	request := []byte("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, icomet\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15; client_max_window_bits\r\n\r\n")
	var r httpparse.Request
	if err := httpparse.Parse(&r, request, 0, &requestLimits); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 256)
	checkAllocs(t, func() {
		h, err := Upgrade(&r)
		if err != nil || h.Protocol == nil || h.Deflate != DeflateWindow {
			t.Fatal(h, err)
		}
		if b := append(AppendAccept(dst, h.Key), h.Deflate.Extension()...); len(b) < 28 {
			t.Fatal(b)
		}
	})
}
