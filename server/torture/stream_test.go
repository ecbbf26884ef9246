package torture

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"icomet/server/servertest"
)

// message is one as clients see it.
type message struct {
	Type    string
	Cname   string
	Seq     int64
	Content string
}

// stream is an open subscription. Its methods return errors, for any goroutine.
type stream struct {
	nc   net.Conn
	body *bufio.Reader
	kind string
	told bool // the response ends with what it begins with: a refusal in band
}

// dial connects; rcvbuf, in bytes, makes the client's kernel take little (0: as usual).
func dial(addr string, rcvbuf int) (net.Conn, error) {
	c, err := servertest.DialNarrow(addr, rcvbuf)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return c.TCPConn, nil
}

// subscribe opens a stream, sse or (one answer of a) sub.
func subscribe(addr, kind, cname string, seq int64) (*stream, error) {
	nc, err := dial(addr, 0)
	if err != nil {
		return nil, err
	}
	s := &stream{nc: nc, kind: kind}
	if err := s.ask(cname, seq); err != nil {
		nc.Close()
		return nil, err
	}
	return s, nil
}

// ask sends the request and reads the head.
func (s *stream) ask(cname string, seq int64) error {
	_ = s.nc.SetDeadline(time.Now().Add(10 * patience))
	if _, err := fmt.Fprintf(s.nc, "GET /%s?cname=%s&seq=%d HTTP/1.1\r\nHost: localhost\r\n\r\n", s.kind, cname, seq); err != nil {
		return err
	}
	return s.readHead()
}

func (s *stream) readHead() error {
	resp, err := http.ReadResponse(bufio.NewReader(s.nc), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != 200 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	s.body = bufio.NewReader(resp.Body)
	s.told = resp.Close
	return nil
}

// read returns the next messages. io.EOF is a clean end, io.ErrUnexpectedEOF a cut.
func (s *stream) read() ([]message, error) {
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimSuffix(line, "\n")
		if s.kind == "sse" {
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				continue
			}
			line = data
		}
		if !strings.HasPrefix(line, "[") {
			line = "[" + line + "]"
		}
		var ms []message
		err = json.Unmarshal([]byte(line), &ms)
		return ms, err
	}
}

// want reads up to the next data message and compares.
func (s *stream) want(seq int64, content string) error {
	for {
		ms, err := s.read()
		if err != nil {
			return err
		}
		for _, m := range ms {
			if m.Type == "next_seq" || m.Type == "noop" {
				continue
			}
			if m.Type != "data" || m.Seq != seq || m.Content != content {
				return fmt.Errorf("got %s %d %.40q, want %d %.40q", m.Type, m.Seq, m.Content, seq, content)
			}
			return nil
		}
	}
}

// reset ends a connection with RST.
func reset(nc net.Conn) {
	_ = nc.(*net.TCPConn).SetLinger(0)
	_ = nc.Close()
}

// exchange sends bytes and reads all that comes back until the server closes.
func exchange(addr, request string, limit time.Duration) (string, error) {
	nc, err := dial(addr, 0)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(limit))
	go io.WriteString(nc, request) // a refusal may come before all of it has gone
	b, err := io.ReadAll(nc)
	return string(b), err
}
