package reactor

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// writable tells the loops which sockets take bytes again, of those that they await.
// gnet does not (gnet fact 3). It is an epoll set of its own with a goroutine, which sleeps
// while nobody is awaited.
type writable struct {
	reactor *Reactor
	mu      sync.Mutex // a leaf lock
	epoll   int        // -1 until the first await
	file    *os.File   // the same
	running sync.WaitGroup
	ended   bool
}

// await has the loop call writable, once, when c's socket takes bytes. A closed socket
// leaves the set by itself.
func (w *writable) await(l *loop, c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.file == nil && !w.begin() {
		l.doom(c, ReasonSlowConsumer) // it comes back
		return
	}
	event := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: c.fd, Pad: int32(l.sink)}
	err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_MOD, int(c.fd), &event)
	if err == unix.ENOENT {
		err = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, int(c.fd), &event)
	}
	if err != nil {
		l.doom(c, ReasonSlowConsumer)
	}
}

// begin makes the set and starts the goroutine. w.mu is held.
func (w *writable) begin() bool {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	_ = unix.SetNonblock(fd, true) // for Go's own poller
	w.epoll, w.file = fd, os.NewFile(uintptr(fd), "writable")
	conn, err := w.file.SyscallConn()
	if err != nil {
		return false
	}
	w.running.Go(func() { w.run(conn) })
	return true
}

func (w *writable) run(conn syscall.RawConn) {
	events := make([]unix.EpollEvent, 128)
	for {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return // it was closed
		}
		for _, e := range events[:n] {
			l, fd := w.reactor.loops[e.Pad], e.Fd
			l.post(func() { l.writable(fd) })
		}
	}
}

// end ends the goroutine, which must not wake a loop any more when gnet has ended.
func (w *writable) end() {
	w.mu.Lock()
	if w.ended = true; w.file != nil {
		_ = w.file.Close()
	}
	w.mu.Unlock()
	w.running.Wait()
}
