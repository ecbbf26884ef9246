package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSecretsAsPlatformsMountThem: one rule for every file of secrets.
func TestSecretsAsPlatformsMountThem(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode     os.FileMode
		ok, warn bool
	}{
		{0o400, true, false}, {0o440, true, false}, {0o600, true, false}, {0o640, true, false},
		{0o444, true, true}, {0o644, true, true}, {0o604, true, true},
		{0o620, false, false}, {0o660, false, false}, {0o602, false, false}, {0o666, false, false},
	} {
		path := writeFile(t, tc.mode, "a secret of thirty-two bytes or more\n")
		if _, err := ReadSecret(path); (err == nil) != tc.ok {
			t.Errorf("%04o: %v", tc.mode, err)
		}
		cfg := Default()
		cfg.Admin.KeysFile, cfg.Front.Auth, cfg.Front.JWTKeys = path, "jwt", []string{path}
		cfg.Engine.Type, cfg.Engine.Redis.PasswordFile = "redis", path
		cfg.Engine.Redis.SentinelPasswordFile = path
		warnings := strings.Join(cfg.Warnings(), "\n")
		for _, key := range []string{"admin.keys_file", "front.jwt_keys", "engine.redis.password_file", "engine.redis.sentinel_password_file"} {
			if strings.Contains(warnings, key+" "+path) != tc.warn {
				t.Errorf("%04o, %s: warnings %q", tc.mode, key, warnings)
			}
		}
	}
	public := writeFile(t, 0o666, "-----BEGIN PUBLIC KEY-----\n")
	if _, err := ReadSecret(public); err != nil {
		t.Errorf("a public key: %v", err)
	}
	if os.Geteuid() == 0 {
		path := writeFile(t, 0o400, "x")
		if err := os.Chown(path, 12345, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSecret(path); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
			t.Errorf("somebody else's: %v", err)
		}
	}
}

// TestByteOrderMark: a file that begins with one is read as without.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	if data, err := ReadSecret(writeFile(t, 0o600, "\xef\xbb\xbfkey\n")); err != nil || string(data) != "key\n" {
		t.Errorf("%q, %v", data, err)
	}
	cfg, _, err := Load(writeFile(t, 0o600, "\xef\xbb\xbf[front]\nmax_channels = 7\n"), nil)
	if err != nil || cfg.Front.MaxChannels != 7 {
		t.Errorf("%d, %v", cfg.Front.MaxChannels, err)
	}
	path := writeFile(t, 0o600, "\xef\xbb\xbf# first\n\n[front]\nmax_channels = 0\n")
	if _, _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), path+":4: ") {
		t.Errorf("the line of a mistake: %v", err)
	}
	if _, _, err := Load(writeFile(t, 0o600, "\xff\xfe[\x00f\x00"), nil); err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Errorf("UTF-16: %v", err)
	}
}

// TestEmptyVariableTakesNoProtectionAway: an empty variable over a file that sets a
// protection stops the start; over a file that does not, it changes nothing.
func TestEmptyVariableTakesNoProtectionAway(t *testing.T) {
	t.Parallel()
	for variable, line := range map[string]string{
		"ICOMET_ADMIN_KEYS":                          "[admin]\nkeys = [\"topsecret\"]",
		"ICOMET_ADMIN_KEYS_FILE":                     "[admin]\nkeys_file = \"/f\"",
		"ICOMET_ADMIN_DENY":                          "[admin]\ndeny = [\"10.0.0.1\"]",
		"ICOMET_FRONT_JWT_AUDIENCE":                  "[front]\njwt_audience = \"push\"",
		"ICOMET_FRONT_JWT_KEYS":                      "[front]\njwt_keys = [\"/f\"]",
		"ICOMET_RUNTIME_MEMORY_LIMIT":                "[runtime]\nmemory_limit = \"1GiB\"",
		"ICOMET_LIMITS_SEND_BUFFER":                  "[limits]\nsend_buffer = \"64KiB\"",
		"ICOMET_ENGINE_REDIS_PASSWORD":               "[engine.redis]\npassword = \"topsecret\"",
		"ICOMET_ENGINE_REDIS_PASSWORD_FILE":          "[engine.redis]\npassword_file = \"/f\"",
		"ICOMET_ENGINE_REDIS_SENTINEL_PASSWORD":      "[engine.redis]\nsentinel_password = \"topsecret\"",
		"ICOMET_ENGINE_REDIS_SENTINEL_PASSWORD_FILE": "[engine.redis]\nsentinel_password_file = \"/f\"",
		"ICOMET_ENGINE_REDIS_TLS_CA":                 "[engine.redis]\ntls_ca = \"/f\"",
	} {
		path := writeFile(t, 0o600, line+"\n")
		for _, empty := range []string{"", " ", ",", " , ,\t"} {
			_, _, err := Load(path, []string{variable + "=" + empty})
			if err == nil || !strings.Contains(err.Error(), variable) || !strings.Contains(err.Error(), path+":2 sets") || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%s=%q: %v", variable, empty, err)
			}
		}
		if _, _, err := Load("", []string{variable + "="}); err != nil {
			t.Errorf("%s alone: %v", variable, err)
		}
	}
}
