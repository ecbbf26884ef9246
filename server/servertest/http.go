package servertest

import (
	"bufio"
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

var lone = http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}

// Conn is a raw connection. Each read through R, and each Write, may take Patience. Its
// methods return errors, for any goroutine.
type Conn struct {
	*net.TCPConn
	R *bufio.Reader
}

// Write gives the connection Patience for all of p.
func (c *Conn) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(Patience))
	return c.TCPConn.Write(p)
}

// patientReader gives each read Patience.
type patientReader struct{ *net.TCPConn }

func (r patientReader) Read(p []byte) (int, error) {
	_ = r.SetReadDeadline(time.Now().Add(Patience))
	return r.TCPConn.Read(p)
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
	return NewConn(nc), nil
}

// NewConn is for connections that are made in a special way.
func NewConn(nc net.Conn) *Conn {
	tcp := nc.(*net.TCPConn)
	return &Conn{tcp, bufio.NewReader(patientReader{tcp})}
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
