package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"icomet/httpparse"
	"icomet/server/config"
)

// maxKeyFile is in bytes: a key file that is larger is some other file.
const maxKeyFile = 64 << 10

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
	text, err := readKeyFile(cfg.KeysFile, checkSecretMode)
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

// readKeyFile reads a small regular file that check agrees with. A pipe or a device
// in its place is not waited for.
func readKeyFile(path string, check func(os.FileInfo, []byte) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, config.SystemWords(err)
	}
	defer f.Close()
	info, err := f.Stat() // of what is open, not of what has the name by now
	if err != nil {
		return nil, config.SystemWords(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, config.SystemWords(err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("is larger than %s: not a file of keys", config.Size(maxKeyFile))
	}
	return data, check(info, data)
}

// checkSecretMode refuses a secret that others than the server's user and root can
// read, or could have put there.
func checkSecretMode(info os.FileInfo, _ []byte) error {
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return fmt.Errorf("has mode %04o, which lets others than its owner in: chmod 600", info.Mode().Perm())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to user %d: it must be the server's user or root", st.Uid)
	}
	return nil
}
