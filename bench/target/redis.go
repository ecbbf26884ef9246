//go:build linux

package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Redis is a redis-server that StartRedis started: on a free port of 127.0.0.1, with nothing
// written to disk. Its Stop ends it.
type Redis struct {
	*Server
	Address string // host:port
}

// StartRedis starts the redis-server that is in PATH and waits until it listens.
func StartRedis(ctx context.Context) (*Redis, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("%w (make test-needs installs it)", err)
	}
	dir, err := os.MkdirTemp("", "icomet-redis-")
	if err != nil {
		return nil, err
	}
	// The port was free a moment ago; when another process has taken it, the start is tried
	// again.
	for range 5 {
		var r *Redis
		if r, err = tryRedis(ctx, binary, dir); err == nil {
			end := r.end
			r.end = func() error { return errors.Join(end(), os.RemoveAll(dir)) }
			return r, nil
		}
		if !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

func tryRedis(ctx context.Context, binary, dir string) (*Redis, error) {
	port, _, err := freePorts()
	if err != nil {
		return nil, err
	}
	s, err := spawn(exec.Command(binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", dir, "--logfile", "/dev/stderr"), os.Environ())
	if err != nil {
		return nil, err
	}
	r := &Redis{s, "127.0.0.1:" + port}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if c, err := net.DialTimeout("tcp", r.Address, time.Second); err == nil {
			return r, c.Close()
		}
		select {
		case <-s.Died:
			return nil, fmt.Errorf("redis-server ended; its log ends with:\n%s", s.log)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("redis-server does not listen on %s", r.Address), s.Stop())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Env returns the environment with which an icomet-server uses it, as K=V.
func (r *Redis) Env() []string {
	return []string{"ICOMET_ENGINE_TYPE=redis", "ICOMET_ENGINE_REDIS_ADDRESS=" + r.Address}
}

// CLI runs redis-cli with these arguments and input, and returns its output without white
// space at both ends.
func (r *Redis) CLI(ctx context.Context, input []byte, args ...string) (string, error) {
	_, port, _ := net.SplitHostPort(r.Address)
	cmd := exec.CommandContext(ctx, "redis-cli", append([]string{"-p", port}, args...)...)
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("redis-cli: %w\n%s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
