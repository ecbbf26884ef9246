package wsframe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// memConn is a connection whose client has sent all it will.
type memConn struct {
	in  io.Reader
	out bytes.Buffer
}

// errEnd is how reading ends. With io.EOF coder/websocket takes a message that was cut
// between two fragments for a whole one.
var errEnd = errors.New("the client has sent all it will")

func (c *memConn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if err != nil {
		err = errEnd
	}
	return n, err
}

func (c *memConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memConn) Close() error                     { return nil }
func (c *memConn) LocalAddr() net.Addr              { return nil }
func (c *memConn) RemoteAddr() net.Addr             { return nil }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// memWriter is the http.ResponseWriter that leads to a memConn.
type memWriter struct {
	conn   *memConn
	header http.Header
	status int
}

func (w *memWriter) Header() http.Header         { return w.header }
func (w *memWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *memWriter) WriteHeader(status int)      { w.status = status }
func (w *memWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// accept lets coder/websocket judge a handshake. The connection then reads frames.
func accept(r *http.Request, frames []byte, mode websocket.CompressionMode) (*websocket.Conn, *memWriter, error) {
	w := &memWriter{conn: &memConn{in: bytes.NewReader(frames)}, header: http.Header{}}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{"icomet"}, InsecureSkipVerify: true, CompressionMode: mode,
	})
	return c, w, err
}

const plainHandshake = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// verdict is what a reader makes of frames, without how control frames lie among messages.
type verdict struct {
	messages  []string
	binary    int // index in messages of the first that is binary, -1 if there is none
	pings     []string
	closed    bool // by the client
	closeCode uint16
	failure   uint16 // the code of the close frame that tells an error; 0 if there is none
	silent    bool   // an error was not told
}

// oracle is what coder/websocket makes of frames.
func oracle(t *testing.T, frames []byte, limit int) (v verdict) {
	t.Helper()
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(plainHandshake)))
	if err != nil {
		t.Fatal(err)
	}
	c, w, err := accept(request, frames, websocket.CompressionDisabled)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(int64(limit))
	v.binary = -1
	for {
		kind, message, err := c.Read(context.Background())
		if err != nil {
			var closed websocket.CloseError
			v.closed = errors.As(err, &closed)
			v.closeCode = uint16(closed.Code)
			v.silent = !v.closed && !errors.Is(err, errEnd)
			break
		}
		if kind == websocket.MessageBinary && v.binary < 0 {
			v.binary = len(v.messages)
		}
		v.messages = append(v.messages, string(message))
	}
	for _, f := range serverFrames(t, w.conn.out.Bytes()) {
		switch f.op {
		case opPong:
			v.pings = append(v.pings, f.payload)
		case opClose:
			if v.silent = false; !v.closed {
				v.failure = binary.BigEndian.Uint16([]byte(f.payload))
			}
		default:
			t.Fatalf("the oracle sends %+v", f)
		}
	}
	return v
}

type frame struct {
	op         byte
	compressed bool
	payload    string
}

// serverFrames reads whole frames of a server.
func serverFrames(t testing.TB, b []byte) (frames []frame) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 2 || b[0]&bitFin == 0 || b[0]&bitsRSV23 != 0 || b[1]&bitMask != 0 {
			t.Fatalf("not a frame of a server: %q", b)
		}
		f := frame{op: b[0] & 0x0f, compressed: b[0]&bitRSV1 != 0}
		n, at := int(b[1]), 2
		switch n {
		case 126:
			n, at = int(binary.BigEndian.Uint16(b[2:])), 4
		case 127:
			n, at = int(binary.BigEndian.Uint64(b[2:])), 10
		}
		f.payload = string(b[at : at+n])
		frames = append(frames, f)
		b = b[at+n:]
	}
	return frames
}
