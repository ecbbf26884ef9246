package access

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"icomet/server/config"
)

const (
	minSecret  = 32   // bytes of an HS256 secret: RFC 7518 section 3.2
	minRSABits = 2048 // RFC 7518 section 3.3
	maxSubject = 255  // bytes of sub, as for a channel's name

	// clockLeeway is how far the issuer's clock may be ahead: a token is used at once.
	clockLeeway = time.Minute
)

// TokenVerifier judges the JSON Web Tokens of subscribers. It is immutable and
// concurrency-safe.
type TokenVerifier struct {
	// A key is good for one method only: a public key must not be taken for the
	// secret of another.
	keys   map[string]jwt.VerificationKeySet // by method
	parser *jwt.Parser
	anyAud bool // an audience is configured, which the parser then checks
}

// NewTokenVerifier reads the keys; nil when auth is jwt for no channel.
func NewTokenVerifier(all *config.Config) (*TokenVerifier, error) {
	if !all.Uses("jwt") {
		return nil, nil
	}
	cfg := &all.Front
	v := &TokenVerifier{keys: make(map[string]jwt.VerificationKeySet), anyAud: cfg.JWTAudience != ""}
	for _, path := range cfg.JWTKeys {
		method, key, err := loadTokenKey(path)
		if err != nil {
			return nil, fmt.Errorf("front.jwt_keys %s: %w", path, err)
		}
		set := v.keys[method]
		set.Keys = append(set.Keys, key)
		v.keys[method] = set
	}
	var methods []string
	for method := range v.keys {
		methods = append(methods, method)
	}
	options := []jwt.ParserOption{jwt.WithValidMethods(methods), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(clockLeeway)}
	if v.anyAud {
		options = append(options, jwt.WithAudience(cfg.JWTAudience))
	}
	v.parser = jwt.NewParser(options...)
	return v, nil
}

// loadTokenKey reads a key; what kind it is says the only method it is good for.
func loadTokenKey(path string) (method string, key jwt.VerificationKey, err error) {
	data, err := config.ReadSecret(path)
	if err != nil {
		return "", nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		if bytes.Contains(data, []byte("-----BEGIN ")) {
			return "", nil, errors.New("the PEM block in it cannot be read")
		}
		secret := bytes.TrimRight(data, "\r\n")
		if len(secret) < minSecret {
			return "", nil, fmt.Errorf("a secret for HS256 must have %d bytes or more, this one has %d", minSecret, len(secret))
		}
		return jwt.SigningMethodHS256.Alg(), secret, nil
	}
	var public any
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return "", nil, fmt.Errorf("has a PEM block %.40q: a PUBLIC KEY is needed, and nothing more", block.Type)
	}
	if err != nil {
		return "", nil, errors.New("the public key in it cannot be read")
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return "", nil, fmt.Errorf("an RSA key must have %d bits or more, this one has %d", minRSABits, k.N.BitLen())
		}
		return jwt.SigningMethodRS256.Alg(), k, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jwt.SigningMethodES256.Alg(), k, nil
		}
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA.Alg(), k, nil
	}
	return "", nil, errors.New("the public key must be RSA, P-256 or Ed25519")
}

// tokenClaims are what a token says. Names are compared with their case, which the decoding
// into a struct would not do, and no text is taken for a number.
type tokenClaims struct {
	jwt.MapClaims // exp, nbf, iat and aud: the parser checks them

	subject, channel, pattern string
	channels, audience        []string
}

// UnmarshalJSON takes a claim that is null for one that is missing.
func (t *tokenClaims) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &t.MapClaims); err != nil {
		return err
	}
	maps.DeleteFunc(t.MapClaims, func(_ string, v any) bool { return v == nil })
	texts := map[string]*string{"sub": &t.subject, "channel": &t.channel, "pattern": &t.pattern}
	for name, to := range texts {
		var ok bool
		if *to, ok = t.MapClaims[name].(string); !ok && t.MapClaims[name] != nil {
			return errTokenMalformed
		}
	}
	var ok bool
	if t.channels, ok = textList(t.MapClaims["channels"]); !ok {
		return errTokenMalformed
	}
	if one, is := t.MapClaims["aud"].(string); is {
		t.audience = []string{one}
	} else if t.audience, ok = textList(t.MapClaims["aud"]); !ok {
		return errTokenMalformed
	}
	return nil
}

// textList is a list of texts in a claim; nil for a claim that is missing.
func textList(v any) (list []string, ok bool) {
	members, ok := v.([]any)
	for _, m := range members {
		text, isText := m.(string)
		if !isText {
			return nil, false
		}
		list = append(list, text)
	}
	return list, ok || v == nil
}

// covers says whether the token is for the channel.
func (t *tokenClaims) covers(name string) bool {
	if name == t.channel {
		return true
	}
	for _, listed := range t.channels {
		if name == listed {
			return true
		}
	}
	return t.pattern != "" && matchPattern(t.pattern, name)
}

// matchPattern matches the whole name; * stands for any bytes, or none.
func matchPattern(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return name == pattern
	}
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part) // the leftmost leaves the most for the others
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return true
}

// Why a token is refused, as it is logged: never with a part of the token.
var (
	errTokenMalformed = errors.New("malformed")
	errTokenSignature = errors.New("no key fits its signature")
	errTokenTime      = errors.New("expired, not valid yet, or without exp")
	errTokenAudience  = errors.New("meant for another audience")
	errTokenChannel   = errors.New("not for this channel")
)

// verify says who the token was given to, or why it does not open the channel.
func (v *TokenVerifier) verify(token, name []byte) (subject string, err error) {
	var claims tokenClaims
	_, err = v.parser.ParseWithClaims(string(token), &claims, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical {
			return nil, errTokenMalformed // RFC 7515 section 4.1.11: none of it is understood here
		}
		return v.keys[t.Method.Alg()], nil
	})
	switch {
	case err == nil:
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "", errTokenSignature
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "", errTokenAudience
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return "", errTokenTime
	default:
		return "", errTokenMalformed
	}
	// The parser's leeway is not for the end of a token.
	exp, err := claims.GetExpirationTime()
	switch {
	case err != nil || !time.Now().Before(exp.Time):
		return "", errTokenTime
	case !v.anyAud && len(claims.audience) > 0:
		return "", errTokenAudience
	case len(claims.subject) > maxSubject:
		return "", errTokenMalformed
	case !claims.covers(string(name)):
		return claims.subject, errTokenChannel
	}
	return claims.subject, nil
}

// Admits judges a subscriber's token for the channel name, and says what it found
// to log at level debug.
func (v *TokenVerifier) Admits(log *slog.Logger, token, name []byte) bool {
	subject, err := v.verify(token, name)
	if ctx := context.Background(); log.Enabled(ctx, slog.LevelDebug) {
		if err != nil {
			log.LogAttrs(ctx, slog.LevelDebug, "token refused",
				slog.String("channel", string(name)), slog.String("subject", subject), slog.String("reason", err.Error()))
		} else {
			log.LogAttrs(ctx, slog.LevelDebug, "token accepted",
				slog.String("channel", string(name)), slog.String("subject", subject))
		}
	}
	return err == nil
}
