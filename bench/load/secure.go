//go:build linux

package load

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// TLS is what subscribers' connections have beside TCP. It crosses a process boundary as
// JSON.
type TLS struct {
	Authorities string // PEM; "": the system's
}

// secureLayer is the TLS of a worker's subscribers. Its handshakes run on goroutines, since
// crypto/tls cannot take up a handshake again that has had to wait; the worker's thread
// gives them what arrives. Once a handshake is over, its connection belongs to the thread.
type secureLayer struct {
	configs map[netip.Addr]*tls.Config // by node
	conns   []*secure                  // by slot; nil: not connected yet
	wake    int32                      // an event descriptor: over has something

	mu     sync.Mutex // a leaf lock: of over, closed and writes to wake
	over   []handshaken
	closed bool
}

// handshaken names a connection whose handshake is over.
type handshaken struct {
	slot       uint32
	generation uint16
}

func newSecureLayer(t *TLS, fronts []netip.AddrPort, slots int) (*secureLayer, error) {
	var roots *x509.CertPool
	if t.Authorities != "" {
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM([]byte(t.Authorities)) {
			return nil, errors.New("no certificate of an authority in PEM")
		}
	}
	l := &secureLayer{configs: map[netip.Addr]*tls.Config{}, conns: make([]*secure, slots)}
	for _, f := range fronts {
		l.configs[f.Addr()] = &tls.Config{RootCAs: roots, ServerName: f.Addr().String(), NextProtos: []string{"http/1.1"}}
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l.wake = int32(fd)
	return l, nil
}

// begin starts the handshake of a connection that has just been made.
func (l *secureLayer) begin(slot uint32, generation uint16, fd int32, to netip.Addr) {
	c := &secure{fd: fd}
	c.arrived.L = &c.mu
	c.conn = tls.Client(c, l.configs[to])
	l.conns[slot] = c
	go func() {
		c.finish(c.conn.Handshake())
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.closed {
			return
		}
		l.over = append(l.over, handshaken{slot, generation})
		_, _ = unix.Write(int(l.wake), []byte{1, 0, 0, 0, 0, 0, 0, 0}) // it cannot be full
	}()
}

// take returns what is over.
func (l *secureLayer) take() []handshaken {
	l.mu.Lock()
	defer l.mu.Unlock()
	var count [8]byte
	_, _ = unix.Read(int(l.wake), count[:]) // only to make it unreadable again
	over := l.over
	l.over = nil
	return over
}

func (l *secureLayer) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	unix.Close(int(l.wake))
}

// secureEvent is of a connection that is being made.
func (w *worker) secureEvent(slot uint32, s *subscriber) {
	if c := w.secure.conns[slot]; c != nil {
		c.feed(w.buf)
		return
	}
	err := connectError(s.fd)
	if err == nil {
		err = w.watch(unix.EPOLL_CTL_MOD, s.fd, readInterests, int(slot), tag(roleSubscriber, s.generation))
	}
	if err != nil {
		w.lost(slot, s, fmt.Errorf("connect: %w", err))
		return
	}
	w.secure.begin(slot, s.generation, s.fd, w.frontOf(slot, s).Addr())
}

// secured sends the requests of those whose handshakes are over.
func (w *worker) secured() {
	for _, h := range w.secure.take() {
		s := &w.subs[h.slot]
		if s.fd < 0 || s.generation != h.generation {
			continue
		}
		err := w.secure.conns[h.slot].result
		if err == nil {
			err = w.request(h.slot, s)
		}
		if err != nil {
			w.lost(h.slot, s, fmt.Errorf("TLS: %w", err))
		}
	}
}

// secure is one connection, and what crypto/tls takes for its net.Conn.
type secure struct {
	conn *tls.Conn

	mu      sync.Mutex // a leaf lock: during the handshake two goroutines use what follows
	arrived sync.Cond
	fd      int32
	in      []byte // has arrived for the handshake
	err     error  // why nothing more arrives
	over    bool   // the handshake, with result
	result  error
	closed  bool
}

// errWait is what a read returns that finds nothing. crypto/tls goes on after an error that
// is temporary.
var errWait net.Error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "nothing has arrived" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

// feed takes what has arrived during the handshake.
func (c *secure) feed(buf []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, errno := receive(c.fd, buf)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0:
		c.err = errno
	case n == 0:
		c.err = io.EOF
	default:
		c.in = append(c.in, buf[:n]...)
	}
	c.arrived.Signal()
}

func (c *secure) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over, c.result = true, err
}

// Read waits during the handshake and never afterwards.
func (c *secure) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over && len(c.in) == 0 && c.err == nil {
		c.arrived.Wait()
	}
	if n := copy(b, c.in); n > 0 {
		if c.in = c.in[n:]; len(c.in) == 0 {
			c.in = nil
		}
		return n, nil
	}
	if c.err != nil {
		return 0, c.err
	}
	n, errno := receive(c.fd, b)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, errWait
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write sends what an empty socket takes whole.
func (c *secure) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	n, errno := send(c.fd, b)
	if errno != 0 {
		return 0, errno
	}
	if n < len(b) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Close ends a handshake that waits, too.
func (c *secure) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed, c.err = true, net.ErrClosed
	c.arrived.Signal()
	return unix.Close(int(c.fd))
}

// The rest of net.Conn. Deadlines are the worker's.
func (c *secure) LocalAddr() net.Addr              { return nil }
func (c *secure) RemoteAddr() net.Addr             { return nil }
func (c *secure) SetDeadline(time.Time) error      { return nil }
func (c *secure) SetReadDeadline(time.Time) error  { return nil }
func (c *secure) SetWriteDeadline(time.Time) error { return nil }

// receive reads all that has arrived, as much as fits: epoll does not know what crypto/tls
// holds. n is 0 at the end of the connection.
func (c *secure) receive(b []byte) (n int, err error) {
	for n < len(b) {
		part, err := c.conn.Read(b[n:])
		n += part
		switch {
		case err == nil:
		case n > 0 || errors.Is(err, io.EOF):
			return n, nil // another error comes again
		case errors.Is(err, errWait):
			return 0, unix.EAGAIN
		default:
			return 0, err
		}
	}
	return n, nil
}
