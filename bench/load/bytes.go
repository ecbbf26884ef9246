//go:build linux

package load

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// read takes what has arrived, and reports whether there may be more.
func (w *worker) read(slot uint32, s *subscriber) (more bool) {
	kept := w.rest[slot]
	w.makeRoom(len(kept))
	copy(w.buf, kept)
	n, err := w.receive(slot, s, w.buf[len(kept):])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return false
	case err != nil:
		w.lost(slot, s, fmt.Errorf("read: %w", err))
		return false
	case n == 0:
		w.lost(slot, s, errors.New("the server closed the connection"))
		return false
	}
	w.readAt, w.reading = Now(), slot
	b := w.buf[:len(kept)+n]
	used, err := s.Feed(b, (*reader)(w))
	if err != nil {
		w.lost(slot, s, err)
		return false
	}
	w.keep(slot, kept, b[used:])
	return len(b) == len(w.buf) && s.fd >= 0
}

func (w *worker) receive(slot uint32, s *subscriber, b []byte) (int, error) {
	if w.secure != nil {
		return w.secure.conns[slot].receive(b)
	}
	n, errno := receive(s.fd, b)
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}

// makeRoom keeps the read buffer larger than what an incomplete unit has filled.
func (w *worker) makeRoom(kept int) {
	if len(w.buf)-kept < 64<<10 {
		w.buf = make([]byte, 2*len(w.buf))
	}
}

// keep stores the beginning of a unit whose rest has not come yet, in a map: few
// connections have any.
func (w *worker) keep(slot uint32, kept, rest []byte) {
	switch {
	case len(rest) > 0:
		w.rest[slot] = append(kept[:0], rest...)
	case kept != nil:
		delete(w.rest, slot)
	}
}

// say sends w.out, some 100 bytes, or 4 KiB with many channels, which an empty socket takes
// whole.
func (w *worker) say(slot uint32, s *subscriber) error {
	if w.secure != nil {
		_, err := w.secure.conns[slot].conn.Write(w.out)
		return err
	}
	n, errno := send(s.fd, w.out)
	if errno != 0 {
		return errno
	}
	if n < len(w.out) {
		return errors.New("short write of a request")
	}
	return nil
}

func (w *worker) hangUp(slot uint32, s *subscriber) {
	if w.secure != nil && w.secure.conns[slot] != nil {
		_ = w.secure.conns[slot].Close() // without a goodbye, as without TLS
		w.secure.conns[slot] = nil
		return
	}
	unix.Close(int(s.fd))
}
