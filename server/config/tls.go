package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// TLS is of one port. Without certificates the port speaks plain HTTP.
type TLS struct {
	Certificates []string `toml:"certificates" form:"certificate" restart:"first" guard:"yes"` // see SplitCertificate
	MinVersion   string   `toml:"min_version" oneof:"1.3|1.2"`
	ClientCA     string   `toml:"client_ca" guard:"yes"`       // file; "" = clients need no certificate
	Handshakes   int      `toml:"handshakes" range:"1..65536"` // in flight
	Curves       []string `toml:"curves" form:"curve"`         // empty: Go's choice
	ListenPlain  string   `toml:"listen_plain" form:"address or empty" restart:"yes"`

	StrictTransportSecurity string `toml:"strict_transport_security" form:"hsts"`
}

func defaultTLS() TLS {
	return TLS{Certificates: []string{}, MinVersion: "1.3", Handshakes: 256, Curves: []string{}}
}

// On says whether the port speaks TLS.
func (t *TLS) On() bool { return len(t.Certificates) > 0 }

// Version is the number of MinVersion in the protocol.
func (t *TLS) Version() uint16 {
	if t.MinVersion == "1.2" {
		return tls.VersionTLS12
	}
	return tls.VersionTLS13
}

// CurveIDs are the numbers of Curves in the protocol.
func (t *TLS) CurveIDs() []tls.CurveID {
	var ids []tls.CurveID
	for _, name := range t.Curves {
		ids = append(ids, curves[name])
	}
	return ids
}

var curves = map[string]tls.CurveID{
	"X25519MLKEM768": tls.X25519MLKEM768, "X25519": tls.X25519,
	"P256": tls.CurveP256, "P384": tls.CurveP384, "P521": tls.CurveP521,
}

// SplitCertificate reads an element of Certificates, "CERTIFICATE:KEY". key is empty when
// one file has both.
func SplitCertificate(text string) (certificate, key string, err error) {
	certificate, key, both := strings.Cut(text, ":")
	if certificate == "" || both && key == "" || strings.Contains(key, ":") {
		return "", "", errors.New(`must be two files, like "/etc/icomet/tls.pem:/etc/icomet/tls.key", or one that has certificate and key; the name of a file cannot have a colon`)
	}
	return certificate, key, checkAnyText(text)
}

func checkCertificate(text string) error {
	_, _, err := SplitCertificate(text)
	return err
}

func checkCurve(text string) error {
	if _, known := curves[text]; !known {
		return errors.New("must be one of X25519MLKEM768, X25519, P256, P384, P521")
	}
	return nil
}

func checkListenOrEmpty(text string) error {
	if text == "" {
		return nil
	}
	return checkListen(text)
}

// checkHSTS wants what may follow "Strict-Transport-Security: ". Browsers ignore the header
// without a max-age (RFC 6797, section 6.1.1), so a value that lacks it is a slip.
func checkHSTS(text string) error {
	if text == "" {
		return nil
	}
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return errors.New("must be visible ASCII and spaces")
		}
	}
	for directive := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if value = strings.Trim(value, `"`); strings.EqualFold(name, "max-age") && value != "" && strings.Trim(value, "0123456789") == "" {
			return nil
		}
	}
	return errors.New(`must have a max-age in seconds, like "max-age=31536000"`)
}

// checkTLS judges the keys of TLS beside each other and beside the addresses of both ports.
func (l *loader) checkTLS() error {
	for _, section := range []string{"front.tls.", "admin.tls."} {
		if l.field(section+"certificates").value.Len() > 0 {
			continue
		}
		// Whoever sets one of these believes that the port has TLS.
		for _, key := range []string{"client_ca", "listen_plain", "strict_transport_security"} {
			if f := l.field(section + key); f.value.String() != "" {
				return l.places[f.key].mistake(f.value.String(), "needs "+section+"certificates: without them the port has no TLS")
			}
		}
	}
	return l.checkAddresses()
}

// checkAddresses wants each address once. Port 0 is another port each time.
func (l *loader) checkAddresses() error {
	keys := []string{"front.listen", "admin.listen", "front.tls.listen_plain", "admin.tls.listen_plain"}
	for i, key := range keys {
		address := l.field(key).value.String()
		if _, port, _ := net.SplitHostPort(address); address == "" || port == "0" {
			continue
		}
		for _, other := range keys[:i] {
			if l.field(other).value.String() != address {
				continue
			}
			p, found := l.places[key]
			if !found { // then it is the other one that has moved onto the default
				p, other = l.places[other], key
			}
			return p.mistake(address, fmt.Sprintf("is the address of %s already", other))
		}
	}
	return nil
}
