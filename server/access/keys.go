package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"icomet/httpparse"
	"icomet/server/config"
)

// Keys are the hashes of the keys that open the admin port; none: it needs no
// key. Hashes all have one length, so that comparing takes the same time whatever
// is given.
type Keys [][sha256.Size]byte

// LoadKeys takes admin.keys and what is in admin.keys_file.
func LoadKeys(cfg *config.Admin) (Keys, error) {
	var keys Keys
	for _, key := range cfg.Keys {
		keys = append(keys, sha256.Sum256([]byte(key)))
	}
	if cfg.KeysFile == "" {
		return keys, nil
	}
	n := len(keys)
	text, err := config.ReadSecret(cfg.KeysFile)
	if err != nil {
		return nil, fmt.Errorf("admin.keys_file %s: %w", cfg.KeysFile, err)
	}
	line := 0
	for key := range bytes.Lines(text) {
		line++
		if key = bytes.TrimSpace(key); len(key) == 0 || key[0] == '#' {
			continue
		}
		if err := config.CheckKey(string(key)); err != nil {
			return nil, fmt.Errorf("admin.keys_file %s:%d: %w", cfg.KeysFile, line, err)
		}
		keys = append(keys, sha256.Sum256(key))
	}
	if len(keys) == n {
		// Without a key the port would be open.
		return nil, fmt.Errorf("admin.keys_file %s: there is no key in it", cfg.KeysFile)
	}
	return keys, nil
}

// match says whether given is one of the keys. It looks at all of them, so that the
// time tells nothing.
func (k Keys) match(given []byte) bool {
	sum := sha256.Sum256(given)
	ok := 0
	for i := range k {
		ok |= subtle.ConstantTimeCompare(sum[:], k[i][:])
	}
	return ok == 1
}

// Authorize checks the Authorization field of an admin request.
func (k Keys) Authorize(r *httpparse.Request) bool {
	if len(k) == 0 {
		return true
	}
	given := Bearer(r)
	return given != nil && k.match(given)
}

// Bearer is the key or token in the Authorization field, nil if there is none.
func Bearer(r *httpparse.Request) []byte {
	const scheme = "bearer "
	given := r.Get("authorization")
	if len(given) < len(scheme) || !equalFoldASCII(given[:len(scheme)], scheme) {
		return nil
	}
	return given[len(scheme):]
}
