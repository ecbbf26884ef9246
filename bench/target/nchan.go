//go:build linux

package target

import (
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

	"icomet/bench/protocol"
)

//go:embed nginx.conf
var nchanConf string

// startNchan starts nginx in the foreground, with a configuration and a folder of its own.
func startNchan(ctx context.Context) (*Server, error) {
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
	// nginx does not listen on port 0. The ports were free a moment ago; when another process
	// has taken one, the start is tried again.
	for range 5 {
		var s *Server
		if s, err = tryNchan(ctx, binary, dir, limit.Cur); err == nil {
			end := s.end
			s.end = func() error { return errors.Join(end(), os.RemoveAll(dir)) }
			return s, nil
		}
		if !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

func tryNchan(ctx context.Context, binary, dir string, connections uint64) (*Server, error) {
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
	s.Dialect, s.Nodes = protocol.DialectNchan, []Node{{"127.0.0.1:" + front, admin, s.Processes[0]}}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if c, err := net.DialTimeout("tcp", admin, time.Second); err == nil {
			c.Close()
			return s, nil
		}
		select {
		case <-s.Died:
			return nil, fmt.Errorf("nginx ended; its log ends with:\n%s", s.log)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("nginx does not listen on %s", admin), s.Stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePorts returns two ports that are free now.
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
