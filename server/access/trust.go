package access

import (
	"bytes"
	"net"
	"net/netip"

	"icomet/httpparse"
	"icomet/server/config"
)

// Trust is who may speak for others on a port. It is immutable and
// concurrency-safe.
type Trust struct {
	proxies     []netip.Prefix // trusted_proxies
	ProxyHeader bool           // proxy_protocol
}

// NewTrust takes trusted_proxies and proxy_protocol of a port.
func NewTrust(proxies []string, proxyHeader bool) (Trust, error) {
	networks, err := config.ParseNetworks(proxies)
	return Trust{proxies: networks, ProxyHeader: proxyHeader}, err
}

// Trusts reports that a is a trusted proxy.
func (p *Trust) Trusts(a netip.Addr) bool {
	return len(p.proxies) > 0 && anyContains(p.proxies, a)
}

// Client returns who a request comes from that peer has brought: the last address,
// from the peer backwards through X-Forwarded-For, that is no trusted proxy. ok is
// false when the list ends at something that is no address; a is then the last proxy
// before it.
func (p *Trust) Client(peer netip.Addr, r *httpparse.Request) (a netip.Addr, ok bool) {
	a = peer
	// The fields together are one list; its last entry was added by the peer.
	for i := len(r.Fields) - 1; i >= 0; i-- {
		f := &r.Fields[i]
		if !equalFoldASCII(f.Name, "x-forwarded-for") {
			continue
		}
		for list := f.Value; len(list) > 0; {
			if !p.Trusts(a) {
				return a, true
			}
			entry := list
			if comma := bytes.LastIndexByte(list, ','); comma >= 0 {
				list, entry = list[:comma], list[comma+1:]
			} else {
				list = nil
			}
			before, ok := parseForwarded(bytes.TrimSpace(entry))
			if !ok {
				return a, false
			}
			a = before
		}
	}
	return a, true
}

// parseForwarded reads an entry of X-Forwarded-For; some proxies write the port too.
func parseForwarded(entry []byte) (netip.Addr, bool) {
	text := string(entry)
	a, err := netip.ParseAddr(text)
	if err != nil {
		if n := len(text); n > 2 && text[0] == '[' && text[n-1] == ']' {
			a, err = netip.ParseAddr(text[1 : n-1])
		} else {
			var withPort netip.AddrPort
			withPort, err = netip.ParseAddrPort(text)
			a = withPort.Addr()
		}
	}
	return a.Unmap().WithZone(""), err == nil
}

// RemoteIP is the address of a TCP peer without a zone. An IPv4 address that is
// mapped into IPv6 is returned as IPv4.
func RemoteIP(addr net.Addr) netip.Addr {
	if t, ok := addr.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
