package access

import (
	"bytes"
	"net"
	"strings"

	"icomet/httpparse"
	"icomet/server/config"
)

// AdminOrigins says which browser pages may call the admin port. A browser in the
// internal network reaches it, and sends what any page tells it to.
type AdminOrigins struct {
	hosts    []string // what Host may be besides addresses, in lower case, without port
	anyHost  bool
	origins  []string
	anyOther bool // "*": pages of any origin
}

// NewAdminOrigins takes admin.listen, admin.hosts and admin.allow_origins.
func NewAdminOrigins(cfg *config.Admin) AdminOrigins {
	o := AdminOrigins{hosts: []string{"localhost"}}
	if host, _, _ := net.SplitHostPort(cfg.Listen); host != "" {
		o.hosts = append(o.hosts, strings.ToLower(host))
	}
	for _, host := range cfg.Hosts {
		o.hosts = append(o.hosts, strings.ToLower(host))
		o.anyHost = o.anyHost || host == "*"
	}
	for _, origin := range cfg.AllowOrigins {
		o.origins = append(o.origins, origin)
		o.anyOther = o.anyOther || origin == "*"
	}
	return o
}

// The answers to what is refused.
const (
	textForeignHost   = "the Host is not this port's: it has to be an address, localhost or a name in admin.hosts"
	textForeignOrigin = "pages of this origin may not use the admin port (admin.allow_origins)"
)

// Refusal is why a request is answered 403, or "". It allocates nothing, since
// it runs for every publish.
func (o *AdminOrigins) Refusal(r *httpparse.Request) string {
	var host, origin, site, referer []byte
	hasHost := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch len(f.Name) {
		case len("host"):
			if equalFoldASCII(f.Name, "host") {
				host, hasHost = hostOf(f.Value), true
			}
		case len("origin"):
			if equalFoldASCII(f.Name, "origin") {
				origin = f.Value
			}
		case len("referer"):
			if equalFoldASCII(f.Name, "referer") {
				referer = f.Value
			}
		case len("sec-fetch-site"):
			if equalFoldASCII(f.Name, "sec-fetch-site") {
				site = f.Value
			}
		}
	}
	if r.Authority != nil { // RFC 9112 section 3.2.2: Host is to be ignored
		host, hasHost = hostOf(r.Authority), true
	}
	// Without Host (HTTP/1.0 only) no browser is behind it.
	if hasHost && !o.knownHost(host) {
		return textForeignHost
	}
	if o.foreign(host, origin, site) && !o.listed(origin, referer) {
		return textForeignOrigin
	}
	return ""
}

// foreign says whether a page of another site is behind the request. The browser's
// own judgement counts where there is one: a page cannot forge it. Browsers leave it
// out for plain http to other machines; then Origin is compared with Host, without
// the ports, and a request without Origin is either no page's or a JSONP call, which
// cannot be told apart.
func (o *AdminOrigins) foreign(host, origin, site []byte) bool {
	switch string(site) {
	case "cross-site":
		return true
	case "same-site", "same-origin", "none":
		return false
	}
	if len(origin) == 0 {
		return false
	}
	_, of, found := bytes.Cut(origin, []byte("://"))
	return !found || !equalFoldBytes(hostOf(of), host) // "null" is foreign too
}

// listed says whether admin.allow_origins has the page's origin. A JSONP call has no
// Origin; its Referer can be left out by a page, but not forged.
func (o *AdminOrigins) listed(origin, referer []byte) bool {
	if o.anyOther {
		return true
	}
	if len(origin) == 0 {
		scheme, rest, found := bytes.Cut(referer, []byte("://"))
		if !found {
			return false
		}
		end := bytes.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		origin = referer[:len(scheme)+len("://")+end]
	}
	for _, listed := range o.origins {
		if listed == string(origin) {
			return true
		}
	}
	return false
}

// knownHost judges a host without its port. What is all digits and dots, or in
// brackets, is an address to every browser, so that no name can be rebound under it.
func (o *AdminOrigins) knownHost(host []byte) bool {
	if o.anyHost || len(host) > 0 && (host[0] == '[' || digitsAndDots(host)) {
		return true
	}
	for _, known := range o.hosts {
		if equalFoldASCII(host, known) {
			return true
		}
	}
	return false
}

func digitsAndDots(host []byte) bool {
	for _, c := range host {
		if c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// hostOf cuts the port off.
func hostOf(authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, ':'); i > bytes.LastIndexByte(authority, ']') {
		return authority[:i]
	}
	return authority
}

// equalFoldASCII compares with a lower-case word.
func equalFoldASCII(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if x := b[i]; x != lower[i] && (x < 'A' || x > 'Z' || x|0x20 != lower[i]) {
			return false
		}
	}
	return true
}

// equalFoldBytes compares two hosts.
func equalFoldBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}
