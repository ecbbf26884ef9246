package access

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

const (
	// maxProxyLine is a version 1 header at its longest, in bytes, with its CRLF.
	maxProxyLine = 107
	// A version 2 header begins with proxyFixed bytes, the last two of which are the
	// length of the rest. maxProxyRest leaves room for extensions as large as a client
	// certificate.
	proxyFixed   = 16
	maxProxyRest = 4096
)

var (
	errNoProxyHeader  = errors.New("this connection has to begin with a PROXY protocol header (proxy_protocol)")
	errBadProxyHeader = errors.New("the PROXY protocol header cannot be read")
	errProxyTooLong   = errors.New("the PROXY protocol header is too long")
)

// ProxyHeaderLen is how many bytes the PROXY header that b begins with has, 0 while
// that cannot be told, or an error as soon as b cannot become one.
func ProxyHeaderLen(b []byte) (int, error) {
	switch {
	case hasCommonPrefix(b, proxyproto.SIGV1):
		if end := bytes.Index(b[:min(len(b), maxProxyLine)], []byte("\r\n")); end >= 0 {
			return end + 2, nil
		}
		if len(b) >= maxProxyLine {
			return 0, errProxyTooLong
		}
		return 0, nil
	case hasCommonPrefix(b, proxyproto.SIGV2):
		if len(b) < proxyFixed {
			return 0, nil
		}
		rest := int(binary.BigEndian.Uint16(b[proxyFixed-2:]))
		if rest > maxProxyRest {
			return 0, errProxyTooLong
		}
		return proxyFixed + rest, nil
	}
	return 0, errNoProxyHeader
}

func hasCommonPrefix(a, b []byte) bool {
	n := min(len(a), len(b))
	return bytes.Equal(a[:n], b[:n])
}

// ParseProxyHeader reads one whole header. The source is the zero Addr when the
// header names none: a health check of the proxy's own (LOCAL), or a client that did
// not come by IP.
func ParseProxyHeader(b []byte) (source netip.Addr, err error) {
	r := bufio.NewReader(bytes.NewReader(b))
	h, err := proxyproto.Read(r)
	if err != nil || r.Buffered() > 0 {
		return netip.Addr{}, errBadProxyHeader
	}
	ip, _, ok := h.IPs()
	if h.Command.IsLocal() || !ok {
		return netip.Addr{}, nil
	}
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Addr{}, errBadProxyHeader
	}
	return a.Unmap(), nil
}
