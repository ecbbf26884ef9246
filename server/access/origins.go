package access

import (
	"bytes"
	"net"
	"strings"

	"icomet/httpparse"
	"icomet/server/config"
	"icomet/server/wire"
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
	o.anyOther, o.origins = splitOrigins(cfg.AllowOrigins)
	if host, _, _ := net.SplitHostPort(cfg.Listen); host != "" {
		o.hosts = append(o.hosts, strings.ToLower(host))
	}
	for _, host := range cfg.Hosts {
		o.hosts = append(o.hosts, strings.ToLower(host))
		o.anyHost = o.anyHost || host == "*"
	}
	return o
}

// The answers to what is refused.
const (
	textRepeated      = "Origin, Referer or Sec-Fetch-Site is repeated"
	textForeignHost   = "the Host is not this port's: it has to be an address, localhost or a name in admin.hosts"
	textForeignOrigin = "pages of this origin may not use the admin port (admin.allow_origins)"
)

// Judge returns why a request is answered 403, "" when it is not, and what its answer says
// to the page behind it. It allocates nothing, since it runs for every publish.
func (o *AdminOrigins) Judge(r *httpparse.Request) (refusal string, cors wire.CORS) {
	var host, origin, site, referer []byte
	hasHost, repeated := false, false
	take := func(to *[]byte, value []byte) {
		repeated = repeated || *to != nil
		*to = value
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		switch len(f.Name) {
		case len("host"):
			if equalFoldASCII(f.Name, "host") {
				host, hasHost = hostOf(f.Value), true
			}
		case len("origin"):
			if equalFoldASCII(f.Name, "origin") {
				take(&origin, f.Value)
			}
		case len("referer"):
			if equalFoldASCII(f.Name, "referer") {
				take(&referer, f.Value)
			}
		case len("sec-fetch-site"):
			if equalFoldASCII(f.Name, "sec-fetch-site") {
				take(&site, f.Value)
			}
		}
	}
	if repeated {
		return textRepeated, cors // another reader might go by another of them
	}
	if r.Authority != nil { // RFC 9112 section 3.2.2: Host is to be ignored
		host, hasHost = hostOf(r.Authority), true
	}
	// Without Host (HTTP/1.0 only) no browser is behind it.
	if hasHost && !o.knownHost(host) {
		return textForeignHost, cors
	}
	cors.Vary = o.anyOther || len(o.origins) > 0
	cors.Origin = o.listedAs(origin)
	if cors.Origin == "" && o.foreign(host, origin, site) && (len(origin) > 0 || !o.listedReferer(referer)) {
		return textForeignOrigin, cors
	}
	return "", cors
}

// listedAs is the origin as admin.allow_origins has it, "*" when that allows it without a
// name, "" when it does not.
func (o *AdminOrigins) listedAs(origin []byte) string {
	if len(origin) == 0 {
		return ""
	}
	for _, listed := range o.origins {
		if listed == string(origin) {
			return listed
		}
	}
	if o.anyOther {
		return "*"
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
	case "same-site", "same-origin", "none":
		return false
	case "":
	default:
		return true // cross-site, or no word of today's browsers
	}
	if len(origin) == 0 {
		return false
	}
	_, of, found := bytes.Cut(origin, []byte("://"))
	return !found || !equalFoldBytes(hostOf(of), host) // "null" is foreign too
}

// listedReferer says whether a page of an allowed origin is behind a JSONP call. That has no
// Origin; its Referer can be left out by a page, but not forged.
func (o *AdminOrigins) listedReferer(referer []byte) bool {
	if o.anyOther {
		return true
	}
	scheme, rest, found := bytes.Cut(referer, []byte("://"))
	if !found {
		return false
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	return o.listedAs(referer[:len(scheme)+len("://")+end]) != ""
}

// knownHost judges a host without its port. What is all digits and dots, or an IPv6
// address in brackets, is an address to every browser, so that no name can be rebound
// under it.
func (o *AdminOrigins) knownHost(host []byte) bool {
	if o.anyHost || len(host) > 0 && (bracketed(host) || digitsAndDots(host)) {
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

// bracketed says whether host is brackets around the characters of an IPv6 address, colons
// among them. It allocates nothing, as a parser of addresses would for its errors.
func bracketed(host []byte) bool {
	n := len(host) - 1
	if n < 1 || host[0] != '[' || host[n] != ']' {
		return false
	}
	colons := 0
	for _, c := range host[1:n] {
		switch {
		case c == ':':
			colons++
		case c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f'):
			return false
		}
	}
	return colons > 1
}

// hostOf cuts the port off. What is no port, such as ":evil.example", stays, so that the
// host is not known.
func hostOf(authority []byte) []byte {
	i := len(authority)
	for i > 0 && authority[i-1] >= '0' && authority[i-1] <= '9' {
		i--
	}
	if i > 0 && authority[i-1] == ':' && (authority[0] != '[' || i > 1 && authority[i-2] == ']') {
		return authority[:i-1]
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
