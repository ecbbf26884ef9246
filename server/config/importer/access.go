package importer

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// access is who may use the original's admin port. There, allow wins over deny, deny: all
// over allow: all, and whoever is in no list is refused if there is any list. Here, deny wins
// over allow.
type access struct {
	allow, deny       []network
	allowAll, denyAll bool
}

// network is one line of the lists.
type network struct {
	prefix netip.Prefix
	wider  bool // the original, which compared texts, also took other networks for it
	text   string
	line   int
}

// appendNetwork reads one line of allow or deny.
func (c *converter) appendNetwork(list []network, all *bool, e entry) []network {
	if e.value == "all" || e.value == "*" {
		*all = true
		return list
	}
	n, ok := parseNetwork(e.value)
	if !ok {
		c.fault(e, `must be an IPv4 address, the beginning of one like 192.168, or "all"`)
		return list
	}
	n.line = e.line
	return append(list, n)
}

// parseNetwork reads an address or its first numbers.
func parseNetwork(text string) (n network, ok bool) {
	parts := strings.Split(text, ".")
	closed := len(parts) > 1 && len(parts) < 4 && parts[len(parts)-1] == ""
	if closed { // 192.168.
		parts = parts[:len(parts)-1]
	}
	if len(parts) > 4 {
		return n, false
	}
	var a [4]byte
	for i, part := range parts {
		number, err := strconv.ParseUint(part, 10, 8)
		if err != nil || part != strconv.FormatUint(number, 10) {
			return n, false
		}
		a[i] = byte(number)
	}
	last := a[len(parts)-1]
	return network{
		prefix: netip.PrefixFrom(netip.AddrFrom4(a), 8*len(parts)), text: text,
		wider: len(parts) < 4 && !closed && last > 0 && int(last)*10 <= 255,
	}, true
}

// lists are the keys allow and deny of this server.
func (a *access) lists() (allow, deny []string) {
	switch {
	case !a.given():
		return []string{"all"}, nil
	case a.allowAll && !a.denyAll:
		return []string{"all"}, texts(a.deny)
	}
	return texts(a.allow), nil
}

func (a *access) given() bool { return a.allowAll || a.denyAll || len(a.allow)+len(a.deny) > 0 }

func texts(list []network) (out []string) {
	for _, n := range list {
		text := n.prefix.String()
		if n.prefix.IsSingleIP() {
			text = n.prefix.Addr().String()
		}
		out = append(out, text)
	}
	return out
}

// comments say where the lists differ from what the original did.
func (a *access) comments() (comments []string) {
	if !a.given() {
		return []string{"The original let everybody in, since it had neither allow nor deny. Better list your services."}
	}
	for _, n := range append(append([]network(nil), a.allow...), a.deny...) {
		if n.wider {
			comments = append(comments, fmt.Sprintf("line %d: the original compared texts, so %s also stood for %s0 and others. Here it is %s.", n.line, n.text, n.text, n.prefix))
		}
	}
	if !a.allowAll || a.denyAll {
		if a.denyAll || len(a.deny) > 0 {
			comments = append(comments, "deny is not needed: whoever is not in allow is refused.")
		}
		return comments
	}
	for _, in := range a.allow {
		for _, out := range a.deny {
			if in.prefix.Overlaps(out.prefix) {
				comments = append(comments, fmt.Sprintf("line %d: allow: %s has no equivalent beside deny: %s (line %d). Here deny wins.", in.line, in.text, out.text, out.line))
			}
		}
	}
	return comments
}
