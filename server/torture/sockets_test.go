package torture

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icomet/server/servertest"
)

// socketStorm is what one hostile WebSocket client sends behind its handshake.
func socketStorm(r *rand.Rand) (b []byte) {
	const fin, text, cont, ping = servertest.FrameFin, servertest.FrameText, servertest.FrameContinuation, servertest.FramePing
	for range 1 + r.IntN(8) {
		name := fmt.Sprint("storm", r.IntN(5))
		switch r.IntN(9) {
		case 0:
			b = servertest.AppendFrame(b, fin|text, `{"type":"subscribe","cname":"`+name+`","seq":1}`)
		case 1:
			b = servertest.AppendFrame(b, fin|text, `{"type":"unsubscribe","cname":"`+name+`"}`)
		case 2:
			b = servertest.AppendFrame(b, text, `{"type":`)
			for range r.IntN(50) {
				b = servertest.AppendFrame(b, cont, "")
			}
			b = servertest.AppendFrame(b, fin|ping, "in between")
			b = servertest.AppendFrame(b, fin|cont, `"ping"}`)
		case 3:
			b = servertest.AppendFrame(b, fin|ping, strings.Repeat("x", r.IntN(126)))
		case 4:
			b = servertest.AppendFrame(b, fin|text, strings.Repeat("[", 1+r.IntN(9000)))
		case 5:
			b = append(b, fin|text, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
		case 6:
			b = servertest.AppendFrame(b, byte(r.Uint32()), "whatever")
		case 7:
			b = servertest.AppendFrame(b, fin|servertest.FrameClose, "\x03\xe8")
		default:
			for range r.IntN(100) {
				b = append(b, byte(r.Uint32()))
			}
		}
	}
	return b[:len(b)-r.IntN(1+min(20, len(b)))] // the last frame may be cut
}

// TestSocketStorm: whatever WebSockets send, whole or a few bytes at a time, and however they
// leave, a healthy channel goes on, and nothing of them is left.
func TestSocketStorm(t *testing.T) {
	t.Parallel()
	d := start(t, servertest.PlainBinary, "", "FRONT_CHANNEL_TIMEOUT=1", "FRONT_WEBSOCKET_COMPRESSION=true", "LIMITS_REQUEST_TIMEOUT=2s")
	p := d.newProbe()
	_ = d.stats() // opens the administrator's connection
	before := d.descriptors()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	paths := []string{"/ws", "/ws?cname=storm1&seq=1", "/ws?cname=storm1&cname=storm2&seq=1", "/ws?cname=storm3&raw=1"}
	over := make(chan error, 1)
	var ended atomic.Bool
	go func() {
		err := inTurns(20, sized(1000, 30_000), func(i int) error {
			return oneSocket(d.front, paths[i%len(paths)], rand.New(rand.NewPCG(seed, uint64(i))))
		})
		ended.Store(true)
		over <- err
	}()
	for i := 0; !ended.Load(); i++ {
		d.push(fmt.Sprint("storm", i%5), "x")
		if _, err := p.run(func(n int) bool { return n > 2 }); err != nil {
			t.Fatalf("the healthy channel: %v", err)
		}
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	d.waitStats(patience, func(s stats) error {
		if n := d.descriptors(); n > before || s.Panics > 0 || s.Connections.Front != 1 || s.Subscribers != 1 {
			return fmt.Errorf("%d descriptors, %d before; %d panics, %d connections, %d subscribers", n, before, s.Panics, s.Connections.Front, s.Subscribers)
		}
		return nil
	})
}

// oneSocket is a client of the storm.
func oneSocket(addr, path string, r *rand.Rand) error {
	nc, err := dial(addr, 0)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	fields := servertest.WebSocketFields
	if r.IntN(2) == 0 {
		fields += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	all := append([]byte("GET "+path+" HTTP/1.1\r\nHost: localhost\r\n"+fields+"\r\n"), socketStorm(r)...)
	for step := 1 + r.IntN(len(all)); len(all) > 0; all = all[min(step, len(all)):] {
		if _, err := nc.Write(all[:min(step, len(all))]); err != nil {
			return nil // it was cut
		}
	}
	switch r.IntN(3) {
	case 0:
		reset(nc)
	case 1: // until the server has had enough of it, or it of the server
		_ = nc.SetReadDeadline(time.Now().Add(time.Duration(r.IntN(100)) * time.Millisecond))
		_, _ = io.Copy(io.Discard, nc)
	}
	return nil
}
