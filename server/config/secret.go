package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxSecret is in bytes: a file of secrets that is larger is some other file.
const maxSecret = 64 << 10

// byteOrderMark begins files of some editors. It is not part of what is in them.
const byteOrderMark = "\xef\xbb\xbf"

// ReadSecret reads a file of keys or a password. One rule holds for all of them: it belongs
// to root or to the server's user, and nobody else can write to it. Its group may read it,
// since platforms mount secrets so. If everybody can, Warnings says it. A file with a public
// key may be anybody's. A pipe or a device in its place is not waited for.
func ReadSecret(path string) ([]byte, error) {
	data, _, err := readSecret(path)
	return data, err
}

func readSecret(path string) (data []byte, mode os.FileMode, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, SystemWords(err)
	}
	defer f.Close()
	info, err := f.Stat() // of what is open, not of what has the name by now
	if err != nil {
		return nil, 0, SystemWords(err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("is not a regular file")
	}
	if data, err = io.ReadAll(io.LimitReader(f, maxSecret+1)); err != nil {
		return nil, 0, SystemWords(err)
	}
	if len(data) > maxSecret {
		return nil, 0, fmt.Errorf("is larger than %s: not a file of keys", Size(maxSecret))
	}
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	if isPublicKey(data) {
		return data, 0, nil
	}
	mode = info.Mode().Perm()
	if mode&0o022 != 0 {
		return nil, 0, fmt.Errorf("has mode %04o, which lets others than its owner write to it: chmod 640", mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return nil, 0, fmt.Errorf("belongs to user %d: it must be the server's user or root", st.Uid)
	}
	return data, mode, nil
}

func isPublicKey(data []byte) bool {
	return bytes.Contains(data, []byte("-----BEGIN PUBLIC KEY")) || bytes.Contains(data, []byte("-----BEGIN RSA PUBLIC KEY"))
}

// Warnings says what is not wrong but should be looked at: files of secrets that
// every user of the machine can read.
func (c *Config) Warnings() (warnings []string) {
	look := func(key, path string) {
		if path == "" {
			return
		}
		if _, mode, err := readSecret(path); err == nil && mode&0o004 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s %s: has mode %04o, so every user of this machine can read it: chmod 640", key, path, mode))
		}
	}
	look("admin.keys_file", c.Admin.KeysFile)
	if c.Uses("jwt") {
		for _, path := range c.Front.JWTKeys {
			look("front.jwt_keys", path)
		}
	}
	if c.Engine.Type == "redis" {
		look("engine.redis.password_file", c.Engine.Redis.PasswordFile)
		look("engine.redis.sentinel_password_file", c.Engine.Redis.SentinelPasswordFile)
	}
	return warnings
}
