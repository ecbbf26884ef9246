package server

import (
	"bytes"
	"net"
	"net/netip"
)

// portTrust is who may speak for others on a port.
type portTrust struct {
	proxies     []netip.Prefix // trusted_proxies
	proxyHeader bool           // proxy_protocol
}

func newPortTrust(proxies []string, proxyHeader bool) (portTrust, error) {
	networks, err := parseNetworks(proxies)
	return portTrust{proxies: networks, proxyHeader: proxyHeader}, err
}

func (p *portTrust) trusts(a netip.Addr) bool {
	return len(p.proxies) > 0 && anyContains(p.proxies, a)
}

// trust is the part of the settings that belongs to the connection's port.
func (s *settings) trust(c *conn) *portTrust {
	if c.has(flagAdmin) {
		return &s.admin
	}
	return &s.front
}

// proxied is what is known of a connection that a trusted proxy has made. It is in
// loop.proxied while there is something to know: few servers have such connections,
// so a conn has no room for it.
type proxied struct {
	source  netip.Addr // of the PROXY header; the zero Addr without one
	counted netip.Addr // whose count (limits.connections_per_ip) it is in, or the zero Addr
	open    bool       // it is counted for the open response, else for its life
}

// remoteIP is the peer of a connection, without a zone; an IPv4 address that comes
// mapped into IPv6 is an IPv4 address.
func remoteIP(addr net.Addr) netip.Addr {
	if t, ok := addr.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// peer is who the connection itself comes from: the source of its PROXY header, or
// else its TCP peer.
func (c *conn) peer() netip.Addr {
	if c.has(flagTrusted) {
		if p := c.loop.proxied[c]; p.source.IsValid() {
			return p.source
		}
	}
	return remoteIP(c.gc.RemoteAddr())
}

// client is who a request comes from: the last address, from the peer backwards
// through X-Forwarded-For, that is no trusted proxy. ok is false when the way ends at
// something that is no address: then a is the last proxy on it.
func (c *conn) client(set *settings, r *request) (a netip.Addr, ok bool) {
	trust := set.trust(c)
	a = c.peer()
	// The fields together are one list; its last entry was added by the peer.
	for i := len(r.Fields) - 1; i >= 0; i-- {
		f := &r.Fields[i]
		if !equalFoldASCII(f.Name, "x-forwarded-for") {
			continue
		}
		for list := f.Value; len(list) > 0; {
			if !trust.trusts(a) {
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
