package reactor

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Listeners are the resolved addresses of both ports, and the probes that hold
// them until gnet binds.
type Listeners struct {
	front, admin         *net.TCPAddr
	frontAddr, adminAddr string // as configured
	probes               []net.Listener
}

// Listen binds both addresses, HOST:PORT, plainly. gnet binds with SO_REUSEPORT, so
// that a second server on the same ports would start without a word; and port 0 has to
// be one concrete port for all loops. The error names key, address and the system's
// words. Release, or a reactor's Run or Close, has to follow.
func Listen(front, admin string) (*Listeners, error) {
	a := &Listeners{frontAddr: front, adminAddr: admin}
	var err error
	if a.front, err = a.bind("front.listen", front); err == nil {
		a.admin, err = a.bind("admin.listen", admin)
	}
	if err != nil {
		a.Release()
		return nil, err
	}
	return a, nil
}

func (a *Listeners) bind(key, address string) (*net.TCPAddr, error) {
	ln, err := net.Listen(listenNetwork(address), address)
	if err != nil {
		// The system's words, without the address that is named already.
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		if errors.Is(err, unix.EACCES) {
			err = fmt.Errorf("%w: ports below 1024 need the capability CAP_NET_BIND_SERVICE "+
				"(systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE; or setcap cap_net_bind_service=+ep on the program)", err)
		}
		return nil, fmt.Errorf("%s %s: %w", key, address, err)
	}
	a.probes = append(a.probes, ln)
	return ln.Addr().(*net.TCPAddr), nil
}

// Release gives the addresses up.
func (a *Listeners) Release() {
	for _, ln := range a.probes {
		_ = ln.Close()
	}
	a.probes = nil
}

// listenNetwork binds as gnet will: an IPv4 address to IPv4 only, an IPv6 address
// to IPv6 only, an empty host to both.
func listenNetwork(address string) string {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return "tcp"
	case ip.To4() != nil:
		return "tcp4"
	}
	return "tcp6"
}

// gnetAddrs are the addresses for gnet, with the bound ports.
func (a *Listeners) gnetAddrs() []string {
	return []string{gnetAddr(a.frontAddr, a.front), gnetAddr(a.adminAddr, a.admin)}
}

func gnetAddr(address string, bound *net.TCPAddr) string {
	host, _, _ := net.SplitHostPort(address)
	network := "tcp://"
	if host != "" {
		host = bound.IP.String()
	} else if bound.IP.To4() != nil {
		// The kernel has no IPv6, which gnet would try.
		network, host = "tcp4://", bound.IP.String()
	}
	return network + net.JoinHostPort(host, fmt.Sprint(bound.Port))
}

// isAdmin tells the role of a connection by the listener it came in on.
func (a *Listeners) isAdmin(local net.Addr) bool {
	t, ok := local.(*net.TCPAddr)
	if !ok || t.Port != a.admin.Port {
		return false
	}
	return a.front.Port != a.admin.Port || t.IP.Equal(a.admin.IP)
}
