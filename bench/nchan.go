//go:build linux

package bench

import (
	"bytes"
	"context"
	_ "embed" // nginx's configuration
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// nchan speaks to nginx's nchan module, configured by compare/nginx.conf: it
// publishes by POST to /pub?c=NAME and delivers the raw content, so that seq and
// time are found in the content itself.
type nchan struct{ prefix string }

var nchanPaths = [...]string{Stream: "GET /stream?c=", SSE: "GET /sse?c=", Iframe: "GET /iframe?c=", Poll: "GET /poll?c="}

func (d *nchan) subscribe(b []byte, t Transport, channel, _ uint32, cursor []byte) []byte {
	b = append(append(b, nchanPaths[t]...), d.prefix...)
	b = strconv.AppendUint(b, uint64(channel), 10)
	b = append(b, hostLine...)
	if t == SSE {
		b = append(b, "Accept: text/event-stream\r\n"...)
	}
	if t == Stream {
		b = append(b, "TE: chunked\r\n"...) // nchan's condition for a chunked stream
	}
	return append(append(b, cursor...), "\r\n"...)
}

func (d *nchan) publish(b []byte, c contents, at int64, channel, number uint32) []byte {
	b = append(append(b, "POST /pub?c="...), d.prefix...)
	b = strconv.AppendUint(b, uint64(channel), 10)
	return post(b, "", func(b []byte) []byte { return c.append(b, at, channel, number) })
}

func (d *nchan) broadcast([]byte, contents, int64, uint32) []byte { return nil }

// published: nchan answers 201 when somebody listened and 202 when nobody did.
func (d *nchan) published(status int) bool { return status >= 200 && status <= 202 }

func (d *nchan) accepted([]byte) bool { return true } // it tells of queue and subscribers

func (d *nchan) later(string, []byte) bool { return false }

func (d *nchan) messages(t Transport, c contents, piece []byte, each func(message) error) error {
	for len(piece) > 0 {
		content := piece
		switch t {
		case SSE:
			event, rest, ok := bytes.Cut(piece, []byte("\n\n"))
			_, data, has := bytes.Cut(event, []byte("data: "))
			if !has && ok { // the comment that opens the stream
				piece = rest
				continue
			}
			content, piece = data, rest
		default:
			if len(piece) > c.size {
				content = piece[:c.size]
			}
			piece = bytes.TrimPrefix(piece[len(content):], []byte("\n"))
		}
		_, channel, number, ok := c.read(content)
		if !ok {
			return fmt.Errorf("%w: %.120q", errMessage, content)
		}
		if err := each(message{kind: kindData, channel: channel, seq: number, content: content}); err != nil {
			return err
		}
	}
	return nil
}

// position: a message's place is its Last-Modified and Etag, to be sent back.
func (d *nchan) position(cursor, head []byte) []byte {
	cursor = cursor[:0]
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, []byte("\r\n"))
		head = rest
		switch {
		case hasField(line, "last-modified:"):
			cursor = append(append(cursor, "If-Modified-Since:"...), line[len("last-modified:"):]...)
			cursor = append(cursor, "\r\n"...)
		case hasField(line, "etag:"):
			cursor = append(append(cursor, "If-None-Match:"...), line[len("etag:"):]...)
			cursor = append(cursor, "\r\n"...)
		}
	}
	return cursor
}

//go:embed compare/nginx.conf
var nchanConf string

// startNchan starts nginx in the foreground with a configuration and a folder
// of its own.
func startNchan(ctx context.Context) (*server, error) {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		return nil, fmt.Errorf("%w (bench/compare/compare installs it)", err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "icomet-nchan-")
	if err != nil {
		return nil, err
	}
	// nginx does not listen on port 0: the ports are free ones of a moment ago,
	// and when another process was quicker the start is tried again.
	for range 5 {
		var s *server
		if s, err = tryNchan(ctx, binary, dir, limit.Cur); err == nil {
			stop := s.stop
			s.stop = func() error { return errors.Join(stop(), os.RemoveAll(dir)) }
			return s, nil
		}
		if !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

func tryNchan(ctx context.Context, binary, dir string, connections uint64) (*server, error) {
	front, admin, err := freePorts()
	if err != nil {
		return nil, err
	}
	conf := strings.NewReplacer("DIR", dir, "FRONT", front, "ADMIN", admin, "CONNECTIONS", strconv.FormatUint(connections, 10)).Replace(nchanConf)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	s, err := spawn(exec.Command(binary, "-c", file, "-p", dir, "-e", "stderr"), os.Environ())
	if err != nil {
		return nil, err
	}
	admin = "127.0.0.1:" + admin
	s.dialect, s.nodes = DialectNchan, []Node{{"127.0.0.1:" + front, admin, s.process[0]}}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if c, err := net.DialTimeout("tcp", admin, time.Second); err == nil {
			c.Close()
			return s, nil
		}
		select {
		case <-s.died:
			return nil, fmt.Errorf("nginx ended; its log ends with:\n%s", s.log)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("nginx does not listen on %s", admin), s.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePorts finds two ports that are free now.
func freePorts() (string, string, error) {
	var ports [2]string
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close()
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
	}
	return ports[0], ports[1], nil
}
