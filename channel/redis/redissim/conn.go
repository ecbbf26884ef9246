package redissim

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is the client's end of a connection. Reads wait for what the scheduler hands over;
// writes never wait.
type Conn struct {
	link *Link

	mu       sync.Mutex
	cond     sync.Cond
	in       []byte // handed over and not yet read
	err      error  // of reads, when in is empty; set when the connection has ended
	closed   bool   // by the client
	deadline time.Time
	timer    *time.Timer
}

func newConn(l *Link) *Conn {
	c := &Conn{link: l}
	c.cond.L = &c.mu
	return c
}

func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case len(c.in) > 0:
			n := copy(p, c.in)
			c.in = c.in[n:]
			return n, nil
		case c.err != nil:
			return 0, c.err
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return 0, os.ErrDeadlineExceeded
		}
		c.cond.Wait()
	}
}

func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.err != nil:
		return 0, syscall.EPIPE
	}
	c.link.wrote(p)
	return len(p), nil
}

// Close ends the client's side. The server finds out when the scheduler lets it.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.link.clientClosed()
		c.cond.Broadcast()
	}
	return nil
}

func (c *Conn) hand(b []byte) {
	c.mu.Lock()
	c.in = append(c.in, b...)
	c.cond.Broadcast()
	c.mu.Unlock()
}

// end makes reads fail once everything handed over is read.
func (c *Conn) end(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.cond.Broadcast()
	c.mu.Unlock()
}

// SetDeadline is SetReadDeadline: writes never wait.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline is as in net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.deadline = t
	if !t.IsZero() {
		c.timer = time.AfterFunc(time.Until(t), c.cond.Broadcast)
	}
	c.cond.Broadcast()
	return nil
}

// SetWriteDeadline does nothing: writes never wait.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

type addr string

func (a addr) Network() string { return "sim" }
func (a addr) String() string  { return string(a) }

// LocalAddr is the name that Dial was called with.
func (c *Conn) LocalAddr() net.Addr { return addr(c.link.Client) }

// RemoteAddr names the server.
func (c *Conn) RemoteAddr() net.Addr { return addr("sim") }

var errCut = &net.OpError{Op: "read", Net: "sim", Err: syscall.ECONNRESET}
