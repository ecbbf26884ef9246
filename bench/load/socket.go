//go:build linux

package load

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"icomet/bench/scenario"
)

// perSource is how many connections share a source address: fewer than the default range of
// local ports has, with room for ports in TIME_WAIT.
const perSource = 16384

// sourceAddress is the address that connection n comes from, 127.1.0.0 and up: with several,
// one destination can have more connections than there are ports.
func sourceAddress(n uint32) [4]byte {
	n /= perSource
	return [4]byte{127, byte(1 + n>>16&0x7f), byte(n >> 8), byte(n)}
}

// addressesOf reads the addresses of nodes, and refuses those that are not loopback.
func addressesOf(nodes []string) ([]netip.AddrPort, error) {
	addresses := make([]netip.AddrPort, len(nodes))
	for i, n := range nodes {
		var err error
		if addresses[i], err = scenario.CheckLoopback(n); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// dial begins a connection from the source address of connection n. The caller owns the
// descriptor, and finds out by writing whether it is connected.
func dial(to netip.AddrPort, n uint32, receiveBuffer int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if receiveBuffer > 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		// Leaves the port to connect, which may use the same one for another destination.
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: sourceAddress(n)})
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	}
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// receive and send never block, so they need not tell the Go scheduler, as unix.Read and
// unix.Write do: the harness must cost less than the server.
func receive(fd int32, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func send(fd int32, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// What an epoll event is about. It comes back in the event's 64 bits of data,
// together with the generation of the slot: an event of a descriptor that was
// closed and opened again within one batch must not reach the new connection.
const (
	roleSubscriber uint8 = iota
	rolePublisher
	roleTimer
	rolePeer
	roleSecured
)

func tag(role uint8, generation uint16) int32 { return int32(role)<<16 | int32(generation) }

func (w *worker) watch(op int, fd int32, events uint32, slot int, t int32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(slot), Pad: t}
	return unix.EpollCtl(w.epoll, op, int(fd), &e)
}

// connectError returns why a connection could not be made, nil if it was.
func connectError(fd int32) error {
	code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}
