package channel

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
)

// tokenBytes is the size of a token before it is written as hex digits.
const tokenBytes = 16

// token is nil until /sign first asks for it: an idle channel without one costs a
// word. It belongs to its Channel (Channel.mu).
type token [tokenBytes]byte

func newToken() *token {
	t := new(token)
	rand.Read(t[:]) // never fails: crypto/rand ends the process instead
	return t
}

func (t *token) String() string { return hex.EncodeToString(t[:]) }

// parseToken reads what String gives; anything else is no token.
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

// NewToken is a token's text, from a cryptographic source.
func NewToken() string { return newToken().String() }

// matches compares in constant time. A channel nobody signed (nil) matches nothing.
func (t *token) matches(text []byte) bool {
	if t == nil {
		return false
	}
	var want [2 * tokenBytes]byte
	hex.Encode(want[:], t[:])
	return subtle.ConstantTimeCompare(want[:], text) == 1
}
