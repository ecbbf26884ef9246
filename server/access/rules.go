package access

import (
	"fmt"
	"net/netip"

	"icomet/server/config"
)

// Rules decides which addresses may use the admin port. It is
// immutable and safe to use from any goroutine.
type Rules struct {
	allow, deny []netip.Prefix
}

// CompileRules reads lists of addresses, networks (CIDR) and "all".
func CompileRules(allow, deny []string) (*Rules, error) {
	var r Rules
	var err error
	if r.allow, err = config.ParseNetworks(allow); err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	if r.deny, err = config.ParseNetworks(deny); err != nil {
		return nil, fmt.Errorf("deny: %w", err)
	}
	return &r, nil
}

// Allowed says whether a may use the admin port: it is in the allow list and
// not in the deny list. IPv4 addresses that come mapped into IPv6, as a
// dual-stack listener gives them, are judged as IPv4. A zone is ignored.
func (r *Rules) Allowed(a netip.Addr) bool {
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
