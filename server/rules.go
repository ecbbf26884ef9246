package server

import (
	"fmt"
	"net/netip"
)

// AddressRules decides which addresses may use the admin port. It is
// immutable and safe to use from any goroutine.
type AddressRules struct {
	allow, deny []netip.Prefix
}

// CompileAddressRules reads lists of addresses, networks (CIDR) and "all".
func CompileAddressRules(allow, deny []string) (*AddressRules, error) {
	var r AddressRules
	var err error
	if r.allow, err = parseNetworks(allow); err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	if r.deny, err = parseNetworks(deny); err != nil {
		return nil, fmt.Errorf("deny: %w", err)
	}
	return &r, nil
}

// Allowed says whether a may use the admin port: it is in the allow list and
// not in the deny list. IPv4 addresses that come mapped into IPv6, as a
// dual-stack listener gives them, are judged as IPv4. A zone is ignored.
func (r *AddressRules) Allowed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return !anyContains(r.deny, a) && anyContains(r.allow, a)
}

func anyContains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
