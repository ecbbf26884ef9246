package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ParseNetworks reads addresses, networks (CIDR) and "all".
func ParseNetworks(texts []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range texts {
		n, err := parseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		networks = append(networks, n...)
	}
	return networks, nil
}

var errNetwork = errors.New(`must be an address, a network like "10.0.0.0/8" or "fd00::/8", or "all"`)

// parseNetwork reads one entry; "all" is two networks.
func parseNetwork(text string) ([]netip.Prefix, error) {
	if text == "all" {
		return []netip.Prefix{
			netip.PrefixFrom(netip.IPv4Unspecified(), 0),
			netip.PrefixFrom(netip.IPv6Unspecified(), 0),
		}, nil
	}
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return nil, errNetwork
		}
		a = a.Unmap()
		return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, nil
	}
	n, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, errNetwork
	}
	// Allowed unmaps addresses, so a mapped network is unmapped as well; one
	// shorter than the 96 bits of mapping cannot be.
	if n.Addr().Is4In6() {
		if n.Bits() < 96 {
			return nil, errNetwork
		}
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
	}
	if n != n.Masked() {
		// 10.1.2.3/8 is a slip more often than a wish: it opens 10.0.0.0/8.
		return nil, fmt.Errorf("has bits beyond its length: write %s, or %s for the one address",
			n.Masked(), n.Addr())
	}
	return []netip.Prefix{n}, nil
}
