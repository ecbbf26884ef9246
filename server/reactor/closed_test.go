package reactor

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"icomet/channel"
	"icomet/server/wire"
)

// TestNothingIsWrittenAfterClose closes a subscriber's connection and gives its
// descriptor to somebody else at once. Whatever the server then still does with its
// record, the new owner gets no byte and keeps both halves (gnet fact 6).
//
// It runs alone: between close and dup3 the number is free, and a connection that another
// test opens just then would be replaced without a word.
func TestNothingIsWrittenAfterClose(t *testing.T) {
	s := start(t, 1, nil)
	kinds := map[string]func(*Conn){
		"send":       func(c *Conn) { c.send([]byte("foreign")) },
		"flush":      func(c *Conn) { c.loop.out.B = append(c.loop.out.B, "foreign"...); c.flush() },
		"beginDrain": func(c *Conn) { c.beginDrain(ReasonAnswered) },
		"failWith":   func(c *Conn) { c.failWith(wire.Head{Status: 408}, "too late", ReasonRequestTimeout) },
		"doom":       func(c *Conn) { c.loop.doom(c, ReasonIdle); c.loop.closeDoomed() },
		"deliver": func(c *Conn) {
			c.transport = wire.TransportStream
			b := &batch{msgs: []channel.Message{{Seq: 1 << 40, Content: "foreign"}}, name: []byte("a")}
			c.loop.deliver(b, c)
			c.transport = wire.TransportNone
		},
		"arrived": func(c *Conn) {
			a := &Answer{Conn: c, ready: true, text: []byte("foreign")}
			c.exchange().pending = append(c.exchange().pending, a)
			a.arrived()
		},
	}
	for name, act := range kinds {
		t.Run(name, func(t *testing.T) {
			c := s.subscribe("/stream?cname=a&seq=1")
			s.waitSubscribers("a", 1)
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pair[0])
			defer unix.Close(pair[1])
			l, result := s.loops[0], make(chan error)
			l.post(func() { result <- actOnClosed(l, l.conns()[0], pair, act) })
			if err := <-result; err != nil {
				t.Error(err)
			}
			c.expectEnd()
			s.checkFor(s.checkIdle)
		})
	}
}

// actOnClosed closes c, puts pair[0] in the place of its descriptor, and looks
// whether act does anything to it. It runs on the loop.
func actOnClosed(l *loop, c *Conn, pair [2]int, act func(*Conn)) error {
	fd := int(c.fd)
	_ = c.gc.EventLoop().Close(c.gc)
	if c.state != stateClosed {
		return errors.New("the connection is not closed")
	}
	if err := unix.Dup3(pair[0], fd, unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(fd)
	act(c)
	buf := make([]byte, 1000)
	if n, err := unix.Read(pair[1], buf); err != unix.EAGAIN {
		return fmt.Errorf("the new owner of the descriptor reads %q, %v", buf[:max(n, 0)], err)
	}
	if _, err := unix.Write(pair[1], []byte{1}); err != nil {
		return fmt.Errorf("its connection is broken: %w", err)
	}
	if c.slot != noSlot {
		return errors.New("the closed connection is in the wheel")
	}
	for ch := range l.working {
		return fmt.Errorf("a batch is at work for %v", ch)
	}
	return nil
}
