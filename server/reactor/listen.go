package reactor

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// Address is one that the server listens on.
type Address struct {
	Key   string // of the configuration
	Text  string // HOST:PORT
	Admin bool   // the admin port, else the front port
	TLS   bool
}

// Listeners are the resolved addresses of both ports, and the probes that hold
// them until gnet binds.
type Listeners struct {
	list   []listening
	probes []net.Listener
}

// listening is an address and what it was bound to.
type listening struct {
	Address
	bound *net.TCPAddr
}

// Listen binds the addresses plainly. gnet binds with SO_REUSEPORT, so that a second
// server on the same ports would start without a word; and port 0 has to be one concrete
// port for all loops. The error names key, address and the system's words. Release, or a
// reactor's Run or Close, has to follow.
func Listen(addresses ...Address) (*Listeners, error) {
	a := &Listeners{}
	for _, address := range addresses {
		bound, err := a.bind(address.Key, address.Text)
		if err != nil {
			a.Release()
			return nil, err
		}
		a.list = append(a.list, listening{address, bound})
	}
	return a, nil
}

// again binds the same addresses once more.
func (a *Listeners) again() (*Listeners, error) {
	var addresses []Address
	for _, ln := range a.list {
		addresses = append(addresses, ln.Address)
	}
	return Listen(addresses...)
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
func (a *Listeners) gnetAddrs() (list []string) {
	for _, ln := range a.list {
		list = append(list, gnetAddr(ln.Text, ln.bound))
	}
	return list
}

// String lists what was bound.
func (a *Listeners) String() string {
	var list []string
	for _, ln := range a.list {
		list = append(list, ln.bound.String())
	}
	return strings.Join(list, " and ")
}

// port is what the first address of a port was bound to.
func (a *Listeners) port(admin bool) net.Addr {
	for _, ln := range a.list {
		if ln.Admin == admin {
			return ln.bound
		}
	}
	return nil
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

// of finds the address that a connection came in on. Several may have the same port, with
// different hosts.
func (a *Listeners) of(local net.Addr) (found Address, ok bool) {
	t, isTCP := local.(*net.TCPAddr)
	for i := range a.list {
		ln := &a.list[i]
		if isTCP && ln.bound.Port == t.Port && (!ok || ln.bound.IP.Equal(t.IP)) {
			found, ok = ln.Address, true
		}
	}
	return found, ok
}
