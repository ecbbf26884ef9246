package systemd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"icomet/server/servertest"
)

// fake is a server in the state that a test sets.
type fake struct {
	ready chan struct{}

	mu      sync.Mutex
	unready []string
	alive   error
	asked   int // calls of Alive since alive was set
}

func (f *fake) Ready() <-chan struct{} { return f.ready }

func (f *fake) Unready() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unready
}

func (f *fake) Alive() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.alive
}

func (f *fake) Load() (connections, channels, subscribers int64) { return 3, 2, 1 }

func (f *fake) set(alive error, unready ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive, f.unready, f.asked = alive, unready, 0
}

// waitAsked waits until Alive was called n times in the present state.
func (f *fake) waitAsked(t *testing.T, n int) {
	t.Helper()
	servertest.CheckFor(t, servertest.Patience, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.asked < n {
			return errors.New("Alive is not called")
		}
		return nil
	})
}

// manager is the socket of a service manager.
type manager struct {
	*net.UnixConn
	t *testing.T
}

func listen(t *testing.T) (m *manager, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &manager{c, t}, path
}

// next reads one message, as lines.
func (m *manager) next() []string {
	m.t.Helper()
	b := make([]byte, 4096)
	_ = m.SetReadDeadline(time.Now().Add(servertest.Patience))
	n, err := m.Read(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b[:n]), "\n"), "\n")
}

// until reads messages up to the one with that line, and returns them all, it last.
func (m *manager) until(line string) (all [][]string) {
	m.t.Helper()
	for {
		all = append(all, m.next())
		if has(all[len(all)-1], line) {
			return all
		}
	}
}

func has(message []string, prefix string) bool {
	for _, line := range message {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func wantMessage(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// run starts a notifier for f, and ends it with the test.
func run(t *testing.T, f *fake, patience time.Duration) (*Notifier, *manager) {
	t.Helper()
	m, path := listen(t)
	t.Setenv("NOTIFY_SOCKET", path)
	n := New(f, slog.New(slog.DiscardHandler))
	n.patience = patience
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { n.Run(ctx) })
	t.Cleanup(func() { cancel(); ended.Wait() })
	return n, m
}

// TestReadyWhenReady: READY=1 comes when both ports serve and /readyz is 200.
func TestReadyWhenReady(t *testing.T) {
	f := &fake{ready: make(chan struct{}), unready: []string{"Redis cannot be reached"}}
	_, m := run(t, f, time.Hour)
	close(f.ready)
	wantMessage(t, m.next(), "STATUS=Not ready (Redis cannot be reached): 3 connections, 2 channels, 1 subscribers")
	f.waitAsked(t, 3)
	f.set(nil)
	all := m.until("READY=1") // the first: none came before
	wantMessage(t, all[len(all)-1], "READY=1", "STATUS=Serving: 3 connections, 2 channels, 1 subscribers")
}

// TestReadyWithoutRedis: a Redis that has gone must not fail the start.
func TestReadyWithoutRedis(t *testing.T) {
	f := &fake{ready: make(chan struct{}), unready: []string{"Redis cannot be reached"}}
	_, m := run(t, f, time.Millisecond)
	close(f.ready)
	all := m.until("READY=1")
	wantMessage(t, all[len(all)-1], "READY=1", "STATUS=Not ready (Redis cannot be reached): 3 connections, 2 channels, 1 subscribers")
}

// TestNotReadyWhileLoopsHang: not even when the patience is over.
func TestNotReadyWhileLoopsHang(t *testing.T) {
	f := &fake{ready: make(chan struct{}), alive: errors.New("event loop 0 has not answered")}
	_, m := run(t, f, 0)
	close(f.ready)
	f.waitAsked(t, 6)
	f.set(nil)
	if all := m.until("READY=1"); len(all) != 2 || !has(all[0], "STATUS=") {
		t.Errorf("got %q", all)
	}
}

// TestWatchdog: signs of life come from event loops that run, and from nothing else.
func TestWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "20000")
	f := &fake{ready: make(chan struct{})}
	_, m := run(t, f, time.Hour)
	close(f.ready)
	m.until("READY=1")
	m.until("WATCHDOG=1")
	m.until("WATCHDOG=1")

	f.set(errors.New("event loop 0 has not answered"))
	f.waitAsked(t, 2)               // what was being sent when it changed has been sent
	f.set(f.alive, "this is after") // a status tells that time apart
	m.until("STATUS=Not ready (this is after)")
	f.waitAsked(t, 5)
	f.set(f.alive, "this is later")
	for _, message := range m.until("STATUS=Not ready (this is later)") {
		if has(message, "WATCHDOG=1") {
			t.Error("a sign of life while a loop hangs")
		}
	}
	f.set(nil)
	m.until("WATCHDOG=1")
}

func TestReloadAndStop(t *testing.T) {
	f := &fake{ready: make(chan struct{})}
	n, m := run(t, f, time.Hour)
	n.Reloading() // before the start is over it is part of it
	n.Reloaded(nil)
	close(f.ready)
	if first := m.next(); !has(first, "READY=1") {
		t.Errorf("got %q", first)
	}
	n.Reloading()
	if message := m.next(); len(message) != 2 || message[0] != "RELOADING=1" || !has(message, "MONOTONIC_USEC=") {
		t.Errorf("got %q", message)
	}
	serving := "STATUS=Serving: 3 connections, 2 channels, 1 subscribers"
	n.Reloaded(errors.New("line 4:\nwhat is this"))
	wantMessage(t, m.next(), "READY=1", serving+"; the last reload changed nothing: line 4: what is this")
	n.Reloading()
	m.next()
	n.Reloaded(nil)
	wantMessage(t, m.next(), "READY=1", serving)
	n.Stopping(13 * time.Second)
	wantMessage(t, m.next(), "STOPPING=1", "EXTEND_TIMEOUT_USEC=13000000", "STATUS=Draining: 3 connections, 2 channels, 1 subscribers")
}

// TestNoManager: nothing is sent, and Run returns at once.
func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n := New(&fake{}, slog.New(slog.DiscardHandler))
	n.Run(t.Context())
	n.Reloading()
	n.Reloaded(nil)
	n.Stopping(time.Second)
}

// TestManagerIsGone: it is logged once, and hurts nobody.
func TestManagerIsGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	var log strings.Builder
	n := New(&fake{}, slog.New(slog.NewTextHandler(&log, nil)))
	n.Stopping(time.Second)
	n.Stopping(time.Second)
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q", got)
	}
}
