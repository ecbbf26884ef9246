package reactor

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"

	"github.com/panjf2000/gnet/v2"

	"icomet/tlsrecord"
)

// Fake drives the first event loop of a reactor that does not run, without gnet and
// without the kernel: what is left is our own part of a turn. It is one goroutine's.
type Fake struct {
	reactor *Reactor
	loop    *loop
	events  *fakeEvents
	fds     int
	Sent    int // bytes that were sent to all clients
}

// NewFake takes the first event loop of r.
func NewFake(r *Reactor) *Fake {
	f := &Fake{reactor: r, events: &fakeEvents{}}
	f.loop = r.loopOf(f.events)
	f.loop.sendNow = func(_ int, p []byte) (int, syscall.Errno) {
		f.Sent += len(p)
		return len(p), 0
	}
	return f
}

// FakeClient is one connection of a Fake.
type FakeClient struct {
	gnet.Conn // what is not below is not called
	fake      *Fake
	fd        int
	local     net.Addr
	context   any
	in        []byte
	sealing   *sealing // nil in plain
}

// sealing is the client's half of a connection over TLS.
type sealing struct {
	state  tlsrecord.State
	cipher *tlsrecord.Cipher
	out    []byte
}

// Connect opens a connection to the address of a port.
func (f *Fake) Connect(local net.Addr) *FakeClient {
	f.fds++
	c := &FakeClient{fake: f, fd: -f.fds, local: local} // no call of the kernel takes such a descriptor
	(&callbacks{reactor: f.reactor}).OnOpen(c)
	if server := c.context.(*Conn); server.isTLS() {
		c.sealing = shakeHands(server.secured())
	}
	return c
}

// shakeHands has a connection go on behind a handshake that has not been.
func shakeHands(s *secured) *sealing {
	const suite = tls.TLS_AES_128_GCM_SHA256
	client, server := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	var errs [2]error
	c := new(sealing)
	s.state, errs[0] = tlsrecord.TLS13(suite, client, server, 0)
	c.state, errs[1] = tlsrecord.TLS13(suite, server, client, 0)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	s.marks &^= markShaking
	c.cipher = c.state.Sealer()
	return c
}

// Says has the loop read p, which it does not change, as one I/O event.
func (c *FakeClient) Says(p []byte) {
	if c.in = p; c.sealing != nil {
		s, err := c.sealing, error(nil)
		if s.out, err = s.state.Seal(s.cipher, s.out[:0], dataRecord, p); err != nil {
			panic(err)
		}
		c.in = s.out
	}
	(&callbacks{reactor: c.fake.reactor}).OnTraffic(c)
}

// Turn runs what the events have left to do, as often as it asks to be run.
func (f *Fake) Turn() {
	l := f.loop
	for f.events.asked || l.inboxLeft || l.active.head != nil || l.todoAt < len(l.todo) {
		f.events.asked = false
		l.turn(true)
	}
}

func (c *FakeClient) Next(int) ([]byte, error) {
	in := c.in
	c.in = nil
	return in, nil
}

func (c *FakeClient) Fd() int                   { return c.fd }
func (c *FakeClient) EventLoop() gnet.EventLoop { return c.fake.events }
func (c *FakeClient) LocalAddr() net.Addr       { return c.local }
func (c *FakeClient) RemoteAddr() net.Addr      { return fakeRemote }
func (c *FakeClient) Context() any              { return c.context }
func (c *FakeClient) SetContext(context any)    { c.context = context }

var fakeRemote = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// fakeEvents is an event loop of gnet's that only notes that it was asked to run a task.
type fakeEvents struct {
	gnet.EventLoop
	asked bool
}

func (e *fakeEvents) Execute(context.Context, gnet.Runnable) error {
	e.asked = true
	return nil
}
