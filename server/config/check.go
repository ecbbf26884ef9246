package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
)

// set stores a decoded TOML value. lines has the line of each element when
// the value is a list of texts, and is nil otherwise.
func (l *loader) set(f *keyField, p place, value any, lines []int) error {
	switch f.value.Interface().(type) {
	case int:
		n, ok := value.(int64)
		if !ok {
			return f.mistake(p, value, "must be a whole number, without quotes")
		}
		f.value.SetInt(n)
	case bool:
		b, ok := value.(bool)
		if !ok {
			return f.mistake(p, value, "must be true or false, without quotes")
		}
		f.value.SetBool(b)
	case []string:
		elements, ok := value.([]any)
		if !ok {
			return f.mistake(p, value, `must be a list of texts, like ["a", "b"]`)
		}
		return l.setList(f, p, elements, lines)
	default:
		text, ok := value.(string)
		if !ok {
			return f.mistake(p, value, "must be a text in quotes")
		}
		return l.setText(f, p, text)
	}
	return l.finish(f, p, value)
}

// setText stores a value that is text: from quotes in a file, or from the
// environment, where every value is.
func (l *loader) setText(f *keyField, p place, text string) error {
	switch f.value.Interface().(type) {
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return f.mistake(p, text, "must be a whole number")
		}
		f.value.SetInt(int64(n))
	case bool:
		if text != "true" && text != "false" {
			return f.mistake(p, text, "must be true or false")
		}
		f.value.SetBool(text == "true")
	case []string:
		elements := []any{}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				elements = append(elements, part)
			}
		}
		return l.setList(f, p, elements, nil)
	case Size:
		size, err := parseSize(text)
		if text == "" && f.tag.Get("unset") == "yes" {
			size, err = 0, nil
		}
		if err != nil {
			return f.mistake(p, text, err.Error())
		}
		f.value.SetInt(int64(size))
	case Duration:
		d, err := parseDuration(text)
		if err != nil {
			return f.mistake(p, text, err.Error())
		}
		f.value.SetInt(int64(d))
	default:
		f.value.SetString(text)
	}
	return l.finish(f, p, text)
}

func (l *loader) setList(f *keyField, p place, elements []any, lines []int) error {
	list := make([]string, len(elements))
	for i, element := range elements {
		at := p
		if i < len(lines) {
			at.line = lines[i]
		}
		text, ok := element.(string)
		if !ok {
			return f.mistake(at, element, "every element must be a text in quotes")
		}
		if err := textForms[f.tag.Get("form")](text); err != nil {
			return f.mistake(at, text, err.Error())
		}
		list[i] = text
	}
	f.value.Set(reflect.ValueOf(list))
	l.places[f.key] = p
	return nil
}

// finish judges the value that has just been stored.
func (l *loader) finish(f *keyField, p place, given any) error {
	l.places[f.key] = p
	if err := f.check(); err != nil {
		return f.mistake(p, given, err.Error())
	}
	return nil
}

func (f *keyField) mistake(p place, value any, reason string) error {
	if f.tag.Get("secret") == "yes" {
		value = nil
	}
	return p.mistake(value, reason)
}

// check judges the value in its place by the tags of its declaration.
func (f *keyField) check() error {
	if words := f.tag.Get("oneof"); words != "" {
		for word := range strings.SplitSeq(words, "|") {
			if word == f.value.String() {
				return nil
			}
		}
		return errors.New("must be one of " + strings.ReplaceAll(words, "|", ", "))
	}
	if f.value.Kind() == reflect.String {
		return textForms[f.tag.Get("form")](f.value.String())
	}
	if f.value.CanInt() {
		return f.checkRange()
	}
	return nil
}

func (f *keyField) checkRange() error {
	n := f.value.Int()
	if n == 0 && f.tag.Get("unset") == "yes" {
		return nil
	}
	least, most, err := f.bounds()
	if err != nil {
		return err
	}
	if n < least || n > most {
		from, to, _ := strings.Cut(f.tag.Get("range"), "..")
		return fmt.Errorf("must be %s to %s", from, to)
	}
	return nil
}

// bounds reads the range of the declaration in the unit of the value: a plain
// number, bytes or nanoseconds.
func (f *keyField) bounds() (least, most int64, err error) {
	from, to, found := strings.Cut(f.tag.Get("range"), "..")
	if !found {
		return 0, 0, fmt.Errorf("%s is declared without a range", f.key)
	}
	if least, err = f.bound(from); err == nil {
		most, err = f.bound(to)
	}
	return least, most, err
}

func (f *keyField) bound(text string) (int64, error) {
	switch f.value.Interface().(type) {
	case Size:
		n, err := parseSize(text)
		return int64(n), err
	case Duration:
		n, err := parseDuration(text)
		return int64(n), err
	default:
		return strconv.ParseInt(text, 10, 64)
	}
}

// checkTogether judges what no key can know alone.
func (l *loader) checkTogether() error {
	cfg := &l.cfg
	if err := l.checkTLS(); err != nil {
		return err
	}
	const lonely = "needs trusted_proxies: the header is believed from nobody else"
	switch {
	case cfg.Front.Auth == "jwt" && len(cfg.Front.JWTKeys) == 0:
		return l.places["front.auth"].mistake("jwt", "needs front.jwt_keys")
	case cfg.Front.ProxyProtocol && len(cfg.Front.TrustedProxies) == 0:
		return l.places["front.proxy_protocol"].mistake(true, lonely)
	case cfg.Admin.ProxyProtocol && len(cfg.Admin.TrustedProxies) == 0:
		return l.places["admin.proxy_protocol"].mistake(true, lonely)
	case cfg.Engine.Type != "redis":
		return l.resolveClasses()
	case cfg.Engine.Snapshot != "":
		return l.places["engine.snapshot"].mistake(cfg.Engine.Snapshot, `needs engine.type = "memory": Redis itself keeps the channels across a restart`)
	case len(cfg.Engine.Redis.Address) == 0:
		return l.places["engine.redis.address"].mistake(nil, "must have an address")
	case cfg.Engine.Redis.TLSCA != "" && !cfg.Engine.Redis.TLS: // else all would go in the clear
		return l.places["engine.redis.tls_ca"].mistake(cfg.Engine.Redis.TLSCA, "needs engine.redis.tls")
	}
	return l.resolveClasses()
}

// textForms are the values of the tag "form".
var textForms = map[string]func(string) error{
	"":          checkAnyText,
	"not empty": checkNotEmpty,
	"address":   checkListen,
	"network":   checkNetwork,
	"origin":    checkOrigin,
	"host":      checkHost,
	"server":    checkServer,
	"prefix":    checkPrefix,
	"key":       CheckKey,
	"glob":      checkGlob,

	"certificate":      checkCertificate,
	"curve":            checkCurve,
	"address or empty": checkListenOrEmpty,
	"hsts":             checkHSTS,
}

// checkAnyText is for paths: the system takes everything but a NUL.
func checkAnyText(text string) error {
	if strings.ContainsRune(text, 0) {
		return errors.New("must not contain a NUL")
	}
	return nil
}

func checkNotEmpty(text string) error {
	if text == "" {
		return errors.New("must not be empty")
	}
	return checkAnyText(text)
}

// checkListen wants host:port, the host being an address, a name or nothing.
func checkListen(text string) error {
	wrong := errors.New(`must be host:port, like "127.0.0.1:8100", "[::1]:8100" or ":8100"`)
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return wrong
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.ContainsFunc(host, notHostname) {
		return wrong
	}
	if n, ok := parsePort(port); !ok || n > 65535 {
		return errors.New("the port must be 0 to 65535")
	}
	return nil
}

func notHostname(r rune) bool { return r != '.' && notBare(r) }

// parsePort takes digits only.
func parsePort(text string) (port uint64, ok bool) {
	port, err := strconv.ParseUint(text, 10, 32)
	return port, err == nil
}

func checkNetwork(text string) error {
	_, err := parseNetwork(text)
	return err
}

// checkOrigin wants an origin exactly as browsers send it, since it is
// compared byte by byte.
func checkOrigin(text string) error {
	if text == "*" {
		return nil
	}
	wrong := errors.New(`must be "*" or scheme://host[:port] without a path, like "https://example.com"`)
	scheme, host, found := strings.Cut(text, "://")
	if !found || scheme == "" || strings.ContainsFunc(scheme, notScheme) {
		return wrong
	}
	if text != strings.ToLower(text) {
		return errors.New("must be in lower case, as browsers send it")
	}
	port := ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
		if n, ok := parsePort(port); !ok || n == 0 || n > 65535 {
			return errors.New("the port must be 1 to 65535")
		}
	}
	if inner, found := strings.CutPrefix(host, "["); found {
		inner, closed := strings.CutSuffix(inner, "]")
		if a, err := netip.ParseAddr(inner); err != nil || !closed || !a.Is6() || a.Zone() != "" {
			return wrong
		}
	} else if host == "" || strings.ContainsFunc(host, notHostname) {
		return wrong
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return errors.New("browsers leave the scheme's own port out, so leave it out here")
	}
	return nil
}

// checkHost wants a name as it stands in Host, without the port, which is not
// compared.
func checkHost(text string) error {
	if text == "*" {
		return nil
	}
	if text == "" || strings.ContainsFunc(text, notHostname) {
		return errors.New(`must be "*" or the name of a host, without scheme and port, like "push.internal"`)
	}
	return nil
}

// checkServer wants the address of another server.
func checkServer(text string) error {
	if err := checkListen(text); err != nil {
		return err
	}
	if host, port, _ := net.SplitHostPort(text); host == "" || strings.Trim(port, "0") == "" {
		return errors.New("must name a host and a port")
	}
	return nil
}

// checkPrefix is for keys of Redis, where braces say which part makes the slot.
func checkPrefix(text string) error {
	if strings.ContainsAny(text, "{}") {
		return errors.New("must not contain { or }")
	}
	return checkNotEmpty(text)
}

func notScheme(r rune) bool {
	return r != '+' && r != '.' && (r == '_' || notBare(r))
}

// CheckKey wants what fits behind "Authorization: Bearer ".
func CheckKey(text string) error {
	if text == "" {
		return errors.New("a key must not be empty")
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return errors.New("a key must be visible ASCII without spaces")
		}
	}
	return nil
}
