package channel

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
)

// tokenBytes is the size of a token; as text it has twice as many hex digits.
const tokenBytes = 16

// token belongs to its Channel and is protected by Channel.mu. It is a pointer, nil until
// the first Sign, so that a channel without one pays for one word only.
type token [tokenBytes]byte

func newToken() *token {
	t := new(token)
	rand.Read(t[:]) // never fails: crypto/rand ends the process instead
	return t
}

func (t *token) String() string { return hex.EncodeToString(t[:]) }

// parseToken is the reverse of String; it returns nil for any other text.
func parseToken(text string) *token {
	if len(text) != 2*tokenBytes {
		return nil
	}
	t := new(token)
	if _, err := hex.Decode(t[:], []byte(text)); err != nil {
		return nil
	}
	return t
}

// NewToken returns a new random token as 32 hex digits. Concurrency-safe.
func NewToken() string { return newToken().String() }

// matches compares in constant time. A channel without a token (nil) matches nothing.
func (t *token) matches(text []byte) bool {
	if t == nil {
		return false
	}
	var want [2 * tokenBytes]byte
	hex.Encode(want[:], t[:])
	return subtle.ConstantTimeCompare(want[:], text) == 1
}
