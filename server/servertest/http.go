package servertest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ReadAnswer reads a whole answer, as in ReadAnswer(client.Get(url)).
func ReadAnswer(resp *http.Response, err error) (status int, body string, _ error) {
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Get makes a request on a connection of its own.
func Get(url string) (status int, body string, err error) {
	return ReadAnswer(lone.Get(url))
}

var lone = http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: clientTLS()}}

// Conn is a raw connection, over TLS when the tests are. Each read through R, and each
// Write, may take Patience. Its methods return errors, for any goroutine.
type Conn struct {
	*net.TCPConn // below TLS: its Read and Write are the methods of Conn
	R            *bufio.Reader

	tls     *tls.Conn // nil in plain
	records *Records  // the same
	preface string    // see Precede
	abrupt  bool      // Close resets
}

// Read is without a deadline of its own.
func (c *Conn) Read(p []byte) (int, error) {
	if c.tls != nil {
		return c.tls.Read(p)
	}
	return c.TCPConn.Read(p)
}

// Write gives the connection Patience for all of p.
func (c *Conn) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(Patience))
	if c.tls != nil {
		return c.tls.Write(p)
	}
	plain := below{c.TCPConn, c.preface}
	c.preface = ""
	return plain.Write(p)
}

// CloseWrite says that nothing follows.
func (c *Conn) CloseWrite() error {
	if c.tls != nil {
		return c.tls.CloseWrite()
	}
	return c.TCPConn.CloseWrite()
}

// SetLinger with 0 makes Close a reset, before which nothing is said.
func (c *Conn) SetLinger(sec int) error {
	c.abrupt = sec == 0
	return c.TCPConn.SetLinger(sec)
}

// Close closes the connection.
func (c *Conn) Close() error {
	if c.tls != nil && !c.abrupt {
		return c.tls.Close()
	}
	return c.TCPConn.Close()
}

// patientReader gives each read Patience.
type patientReader struct{ conn *Conn }

func (r patientReader) Read(p []byte) (int, error) {
	_ = r.conn.SetReadDeadline(time.Now().Add(Patience))
	return r.conn.Read(p)
}

// Dial connects to host:port.
func Dial(addr string) (*Conn, error) { return DialNarrow(addr, 0) }

// DialNarrow connects with a receive buffer of rcvbuf bytes (0: as usual), so that
// little fits into the kernel between server and client.
func DialNarrow(addr string, rcvbuf int) (*Conn, error) {
	d := net.Dialer{Timeout: Patience}
	if rcvbuf > 0 {
		d.Control = func(_, _ string, rc syscall.RawConn) (err error) {
			_ = rc.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, rcvbuf)
			})
			return err
		}
	}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return NewConn(nc)
}

// NewConn is for connections that are made in a special way. It closes nc when it fails.
func NewConn(nc net.Conn) (*Conn, error) {
	c := NewPlain(nc)
	return c, c.Secure()
}

// NewPlain is NewConn without TLS. Secure may follow.
func NewPlain(nc net.Conn) *Conn {
	c := &Conn{TCPConn: nc.(*net.TCPConn)}
	c.R = bufio.NewReader(patientReader{c})
	return c
}

// Secure does the handshake when the tests are over TLS. It closes the connection when that
// fails, unless the server has closed it: as in plain, that is left to be seen by reading.
func (c *Conn) Secure() error {
	if !TLS() {
		return nil
	}
	return c.SecureWith(clientTLS())
}

// SecureWith does the handshake whatever the tests are over.
func (c *Conn) SecureWith(config *tls.Config) error {
	c.records = &Records{Conn: &below{c.TCPConn, c.preface}}
	c.tls = tls.Client(c.records, config)
	c.preface = ""
	_ = c.SetDeadline(time.Now().Add(Patience))
	if err := c.tls.Handshake(); err != nil && !isEnd(err) {
		c.TCPConn.Close()
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return c.SetDeadline(time.Time{})
}

// Alerted reports that the last record that came, over TLS, is an alert.
func (c *Conn) Alerted() bool { return c.records.Alerted() }

// Precede has text go out in front of what is sent next, in the same write, and below TLS.
func (c *Conn) Precede(text string) { c.preface = text }

// below is what TLS runs on.
type below struct {
	*net.TCPConn
	preface string
}

func (b *below) Write(p []byte) (int, error) {
	preface := b.preface
	b.preface = ""
	n, err := b.TCPConn.Write(append([]byte(preface), p...))
	return max(0, n-len(preface)), err
}

func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Answer reads one whole answer.
func (c *Conn) Answer() (status int, body string, err error) {
	return ReadAnswer(http.ReadResponse(c.R, nil))
}

// Head reads up to the empty line. With an error it returns what there was.
func (c *Conn) Head() (string, error) {
	var b strings.Builder
	for {
		line, err := c.R.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String(), err
		}
	}
}

// Chunk reads one chunk; the last one is "".
func (c *Conn) Chunk() (string, error) {
	line, err := c.R.ReadString('\n')
	if err != nil {
		return "", err
	}
	var size int
	if _, err := fmt.Sscanf(line, "%x\r\n", &size); err != nil {
		return "", fmt.Errorf("chunk size %q: %w", line, err)
	}
	b := make([]byte, size+2)
	if _, err := io.ReadFull(c.R, b); err != nil {
		return "", err
	}
	data, ended := strings.CutSuffix(string(b), "\r\n")
	if !ended {
		return "", fmt.Errorf("chunk %q does not end with CRLF", b)
	}
	return data, nil
}

// ExpectEnd reads to the end of the connection. A byte before it is an error, and so is
// a connection that stays open.
func (c *Conn) ExpectEnd() error {
	b, err := io.ReadAll(c.R)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return errors.New("the connection stays open")
	}
	if len(b) > 0 {
		return fmt.Errorf("bytes before the end: %q", b)
	}
	return nil
}
