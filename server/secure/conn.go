package secure

import (
	"bytes"
	"net"
	"time"
)

const (
	// recordHeader is the length of a record's header: type, version, length of the body.
	recordHeader = 5
	// maxRecord is the longest record of TLS 1.2 (RFC 5246 section 6.2.3).
	maxRecord = recordHeader + 1<<14 + 2048
	// handshakeRecord is the type of a record with handshake messages, serverHello the type
	// of such a message.
	handshakeRecord, serverHello = 22, 2
)

// recordLength is the length of the record at the beginning of b, 0 if it is not whole. Of
// a record that is too long it is the header alone, by which crypto/tls refuses it.
func recordLength(b []byte) int {
	if len(b) < recordHeader {
		return 0
	}
	n := recordHeader + int(b[3])<<8 + int(b[4])
	switch {
	case n > maxRecord:
		return recordHeader
	case n > len(b):
		return 0
	}
	return n
}

// conn is the net.Conn that crypto/tls does the handshake on. It belongs to the handshake's
// goroutine and knows no descriptor, which might be another client's by now.
type conn struct {
	handshake *Handshake
	secrets   secrets
	left      int           // of the record that is being read
	computes  bool          // it holds the port's Computing
	patience  time.Duration // left to wait for the client
}

// Read hands out whole records, one at a time: what crypto/tls has not asked for stays here,
// and so its tls.Conn holds nothing when the handshake is over.
func (c *conn) Read(p []byte) (int, error) {
	for {
		if n, err := c.take(p); n > 0 || err != nil {
			return n, err
		}
		if err := c.wait(); err != nil {
			return 0, err
		}
	}
}

func (c *conn) take(p []byte) (int, error) {
	h := c.handshake
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause != nil {
		return 0, h.cause
	}
	if c.left == 0 {
		c.left = recordLength(h.in)
	}
	n := copy(p, h.in[:c.left])
	c.left -= n
	h.in = h.in[n:]
	if len(h.in) == 0 {
		h.in = nil
	}
	return n, nil
}

// wait lets others compute until something has come.
func (c *conn) wait() error {
	h := c.handshake
	h.port.computing.give()
	c.computes = false
	begun := time.Now()
	timer := time.NewTimer(c.patience)
	select {
	case <-h.wake:
	case <-timer.C:
		h.end(ErrTimeout)
	case <-h.done:
	}
	timer.Stop()
	c.patience -= time.Since(begun)
	return c.compute()
}

// compute waits for the handshake's turn to compute.
func (c *conn) compute() error {
	h := c.handshake
	if !h.port.computing.take(h.done) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.cause
	}
	c.computes = true
	return nil
}

// Write sends bytes to the client.
func (c *conn) Write(b []byte) (int, error) {
	h := c.handshake
	h.mu.Lock()
	cause := h.cause
	h.mu.Unlock()
	if cause != nil {
		return 0, cause
	}
	c.secrets.sent(b)
	h.peer.HandshakeSends(bytes.Clone(b))
	return len(b), nil
}

// crypto/tls has no use for the rest of net.Conn during a handshake.

func (c *conn) Close() error                     { return nil }
func (c *conn) LocalAddr() net.Addr              { return nil }
func (c *conn) RemoteAddr() net.Addr             { return nil }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
