package reactor

import (
	"os"
	"sync"
	"syscall"
	"unsafe"

	"github.com/valyala/bytebufferpool"
	"golang.org/x/sys/unix"
)

// outbound is how many bytes gnet holds for it.
func (c *Conn) outbound() int {
	if !c.has(flagQueued) {
		return 0
	}
	n := c.gc.OutboundBuffered()
	if n == 0 {
		c.clear(flagQueued)
	}
	return n
}

// send writes p, and queues what the socket does not take. While something is queued, a
// write that would exceed OutboundBuffer cuts the connection. With nothing queued it
// sends on the descriptor itself, which costs less than gnet's Write and cannot call
// OnClose from inside (gnet facts 5 and 21). Over TLS a record is sealed once, and sent or
// queued whole. It reports that the connection goes on.
func (c *Conn) send(p []byte) bool {
	if c.state == stateClosed || c.has(flagDoomed) || len(p) == 0 {
		return false
	}
	if !c.roomFor(len(p)) {
		return false
	}
	if c.marks&(markTLS|markShaking) == markTLS {
		var err error
		if p, err = c.secured().seal(p); err != nil {
			c.loop.doom(c, ReasonTLS)
			return false
		}
	}
	return c.transmit(p)
}

// roomFor cuts a connection whose queue would exceed OutboundBuffer with n bytes more.
func (c *Conn) roomFor(n int) bool {
	if queued := c.outbound(); queued > 0 {
		l := c.loop
		if int64(queued+n) > l.reactor.settings.Load().OutboundBuffer {
			l.stats.Held.Add(uint64(queued))
			l.doom(c, ReasonSlowConsumer)
			return false
		}
	}
	return true
}

// transmit writes p as it is, and queues what the socket does not take. It reports that the
// connection goes on.
func (c *Conn) transmit(p []byte) bool {
	l := c.loop
	l.stats.BytesOut.Add(uint64(len(p)))
	sent := 0
	if c.outbound() == 0 {
		n, errno := l.sendNow(int(c.fd), p)
		switch errno {
		case 0:
			sent = n
		case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		default:
			// Usually a reset. Whatever it is, a part of the response is missing, so the
			// connection must not go on.
			l.doom(c, ReasonPeer)
			return false
		}
	}
	if sent < len(p) {
		c.set(flagQueued)
		l.stats.Held.Add(uint64(len(p) - sent))
		_, _ = c.gc.Write(p[sent:]) // an error has called OnClose
	}
	return c.state != stateClosed
}

// flush sends the answers collected in loop.out in one write.
func (c *Conn) flush() {
	l := c.loop
	c.send(l.out.B)
	if cap(l.out.B) > maxPooled {
		l.out = getBuffer()
	}
	l.out.Reset()
}

// sendNow sends what the socket takes of p, which is not empty, without blocking and
// without a signal. It is a raw system call: since it never sleeps, Go's scheduler need
// not know of it, and cannot take the processor away meanwhile. PERFORMANCE.md has the measurement.
func sendNow(fd int, p []byte) (n int, errno syscall.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(r), errno
}

// maxPooled is the largest buffer, in bytes, that goes back to a pool. sync.Pool
// hands buffers out without regard to size, so one huge message would keep its
// memory alive behind small ones.
const maxPooled = 64 << 10

func getBuffer() *bytebufferpool.ByteBuffer { return bytebufferpool.Get() }

// putBuffer returns a buffer to the pool. It may be nil.
func putBuffer(b *bytebufferpool.ByteBuffer) {
	if b != nil && cap(b.B) <= maxPooled {
		bytebufferpool.Put(b)
	}
}

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
