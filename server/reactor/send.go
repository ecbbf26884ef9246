package reactor

import (
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
// OnClose from inside (gnet facts 5 and 21). It reports that the connection goes on.
func (c *Conn) send(p []byte) bool {
	if c.state == stateClosed || c.has(flagDoomed) || len(p) == 0 {
		return false
	}
	l := c.loop
	l.stats.BytesOut.Add(uint64(len(p)))
	sent := 0
	if queued := c.outbound(); queued > 0 {
		if int64(queued+len(p)) > l.reactor.settings.Load().OutboundBuffer {
			l.stats.Held.Add(uint64(queued))
			l.doom(c, ReasonSlowConsumer)
			return false
		}
	} else {
		n, errno := sendNow(int(c.fd), p)
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
