package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icomet/server"
	"icomet/server/config"
)

// secretFile writes a file that only its owner can read.
func secretFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bearer makes an admin request with a key.
func (s *testServer) bearer(key string) int {
	s.t.Helper()
	c := dial(s.t, s.admin)
	defer c.Close()
	c.sendf("GET /info HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n\r\n", key)
	status, _ := c.response()
	return status
}

// TestKeysFile: the keys of the file count beside those of the configuration, and are
// changed one by one while the server runs.
func TestKeysFile(t *testing.T) {
	t.Parallel()
	path := secretFile(t, "# rotated 2026-11\n\n  old-key-0123456789  \r\nother\n")
	s := startServer(t, func(cfg *config.Config) {
		cfg.Admin.Keys = []string{"configured"}
		cfg.Admin.KeysFile = path
	})
	want := func(key string, status int) {
		t.Helper()
		if got := s.bearer(key); got != status {
			t.Errorf("%q: got %d, want %d", key, got, status)
		}
	}
	for _, key := range []string{"configured", "old-key-0123456789", "other"} {
		want("Bearer "+key, 200)
		want("BEARER "+key, 200)
		for _, wrong := range []string{key, "Basic " + key, "Bearer " + key + "x", "Bearer " + key[1:], "Bearer  " + key, "Bearer", "Bearer ", strings.ToUpper("Bearer " + key)} {
			want(wrong, 401)
		}
	}
	want("Bearer # rotated 2026-11", 401)

	rewrite := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite("old-key-0123456789\nnew\n")
	want("Bearer new", 401) // not before the reload
	s.reload(func(*config.Config) {})
	want("Bearer new", 200)
	want("Bearer old-key-0123456789", 200)
	want("Bearer other", 401)
	rewrite("new\n")
	s.reload(func(*config.Config) {})
	want("Bearer old-key-0123456789", 401)

	// A mistake at a reload leaves what was there.
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(s.cfg); err == nil {
		t.Error("a file that its group can write to is accepted")
	}
	want("Bearer new", 200)
	if log := s.log.String(); strings.Contains(log, "new") || strings.Contains(log, "old-key") || strings.Contains(log, "configured") {
		t.Errorf("a key is in the log:\n%s", log)
	}
}

// TestKeysFileMistakes: each says what is wrong and never shows a key.
func TestKeysFileMistakes(t *testing.T) {
	t.Parallel()
	file := func(mode os.FileMode, text string) string {
		path := secretFile(t, text)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct{ path, want string }{
		{filepath.Join(t.TempDir(), "missing"), "no such file"},
		{t.TempDir(), "not a regular file"},
		{"/dev/null", "not a regular file"},
		{file(0o664, "topsecret\n"), "mode 0664"},
		{file(0o620, "topsecret\n"), "mode 0620"},
		{file(0o602, "topsecret\n"), "mode 0602"},
		{file(0o600, ""), "no key"},
		{file(0o600, "# nothing\n\n"), "no key"},
		{file(0o600, "good\ntopsecret two\n"), ":2: a key must be"},
		{file(0o600, "topsecret\x00\n"), ":1: a key must be"},
		{file(0o600, strings.Repeat("topsecret\n", 10000)), "is larger than"},
	} {
		cfg := config.Default()
		cfg.Admin.KeysFile = tc.path
		err := server.CheckConfig(cfg)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "admin.keys_file "+tc.path) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: got %v, want %s", tc.path, err, tc.want)
		}
	}
	if cfg := config.Default(); os.Geteuid() == 0 {
		cfg.Admin.KeysFile = file(0o600, "key\n")
		if err := os.Chown(cfg.Admin.KeysFile, 12345, 0); err != nil {
			t.Fatal(err)
		}
		if err := server.CheckConfig(cfg); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
			t.Errorf("a file of somebody else: %v", err)
		}
	}
}
