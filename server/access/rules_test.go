package access

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"icomet/server/config"
)

func TestAddressRules(t *testing.T) {
	defaults := config.Default().Admin.Allow
	for _, c := range []struct {
		name         string
		allow, deny  []string
		yes, refused []string
	}{
		{
			name: "default", allow: defaults,
			yes:     []string{"127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"},
			refused: []string{"128.0.0.1", "10.0.0.1", "::2", "::", "::ffff:10.0.0.1", "0.0.0.0"},
		},
		{
			name: "nobody", refused: []string{"127.0.0.1", "::1"},
		},
		{
			name: "all", allow: []string{"all"},
			yes: []string{"127.0.0.1", "255.255.255.255", "::1", "fe80::1%eth0", "::ffff:1.2.3.4"},
		},
		{
			name: "deny wins", allow: []string{"all", "10.0.0.9"}, deny: []string{"10.0.0.0/8", "fd00::/8"},
			yes:     []string{"11.0.0.1", "fe00::1"},
			refused: []string{"10.0.0.9", "::ffff:10.1.1.1", "fd12::1"},
		},
		{
			name: "deny all", allow: []string{"127.0.0.1"}, deny: []string{"all"},
			refused: []string{"127.0.0.1", "::1"},
		},
		{
			name: "single addresses", allow: []string{"10.0.0.1", "fe80::1", "::ffff:10.0.0.3"},
			yes:     []string{"10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.3"},
			refused: []string{"10.0.0.2", "fe80::2"},
		},
		{
			name: "mapped network", allow: []string{"::ffff:10.0.0.0/104"},
			yes: []string{"10.9.9.9", "::ffff:10.9.9.9"}, refused: []string{"11.0.0.0"},
		},
		{
			name: "IPv4 is not in ::/0", allow: []string{"::/0"},
			yes: []string{"::1", "2001:db8::1"}, refused: []string{"10.0.0.1", "::ffff:10.0.0.1"},
		},
	} {
		rules, err := CompileRules(c.allow, c.deny)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, a := range c.yes {
			if !rules.Allowed(netip.MustParseAddr(a)) {
				t.Errorf("%s: %s is refused", c.name, a)
			}
		}
		for _, a := range c.refused {
			if rules.Allowed(netip.MustParseAddr(a)) {
				t.Errorf("%s: %s is allowed", c.name, a)
			}
		}
		if rules.Allowed(netip.Addr{}) {
			t.Errorf("%s: no address is allowed", c.name)
		}
	}
}

func TestAddressRulesMistakes(t *testing.T) {
	for _, text := range []string{
		"", "ALL", "localhost", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "fe80::1%eth0", "10.0.0.1/8", "::ffff:0:0/95",
	} {
		if _, err := CompileRules([]string{"all", text}, nil); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("allow: %q: ", text)) {
			t.Errorf("allow %q: %v", text, err)
		}
		if _, err := CompileRules(nil, []string{text}); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("deny: %q: ", text)) {
			t.Errorf("deny %q: %v", text, err)
		}
	}
}
