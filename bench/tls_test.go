//go:build linux

package bench

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"icomet/bench/scenario"
	"icomet/bench/target"
	"icomet/internal/selfsigned"
)

// terminate listens with TLS in front of address, and returns where, with the file of its
// authority.
func terminate(t *testing.T, address string) (front, ca string) {
	t.Helper()
	a, err := selfsigned.New("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if ca, err = a.Write(t.TempDir(), "ca"); err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair.TLS()}})
	if err != nil {
		t.Fatal(err)
	}
	var pipes sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	pipe := func(from, to net.Conn) {
		_, _ = io.Copy(to, from) // either side may go
		from.Close()
		to.Close()
	}
	pipes.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			pipes.Go(func() { pipe(in, out) })
			pipes.Go(func() { pipe(out, in) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		pipes.Wait()
	})
	return ln.Addr().String(), ca
}

// TestTLSUntrusted: a server that none of the authorities has vouched for is not measured.
func TestTLSUntrusted(t *testing.T) {
	t.Parallel()
	running := startFake(t, &fake{})
	front, _ := terminate(t, running.Running[0].Front)
	_, others := terminate(t, running.Running[0].Front)
	plan, err := scenario.Preset("fanout", scenario.Options{Subscribers: 3, Duration: 100 * time.Millisecond, Drain: time.Second, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r := mustRun(t, plan, target.Target{Running: []target.Node{{Front: front, Admin: running.Running[0].Admin}}, TLS: true, CA: others})
	if r.Total.ConnectFailed != 3 || !strings.Contains(r.FirstFailure, "certificate signed by unknown authority") {
		t.Errorf("%d connects failed: %s", r.Total.ConnectFailed, r.FirstFailure)
	}
}

// TestTLSTargets: what cannot be had is refused before anything starts.
func TestTLSTargets(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "ca.pem")
	for want, wrong := range map[string]target.Target{
		"started without TLS":    {Command: target.Ceiling, TLS: true},
		"for TLS only":           {Running: []target.Node{{}}, CA: missing},
		"no such file":           {Running: []target.Node{{}}, TLS: true, CA: missing},
		"certificate of its own": {Command: "x", TLS: true, CA: missing},
	} {
		if s, err := wrong.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %v, want %s", wrong, s, err, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "icomet-bench-*", "server.key"))
	if err != nil || len(left) > 0 {
		t.Errorf("keys are left: %q, %v", left, err)
	}
}
