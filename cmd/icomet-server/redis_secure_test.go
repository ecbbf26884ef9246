package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icomet/channel/redis/redistest"
)

func redisLines(s *redistest.Server, more ...string) []string {
	return append([]string{
		`engine.type = "redis"`, fmt.Sprintf("engine.redis.address = [%q]", s.Addr()),
		fmt.Sprintf("engine.redis.timeout = %q", patient), fmt.Sprintf("engine.redis.dial_timeout = %q", hasty),
	}, more...)
}

func secret(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("engine.redis.password_file = %q", path)
}

// TestSecureRedis: TLS, a user with few rights, the password from a file and from the
// configuration, its own database and prefix.
func TestSecureRedis(t *testing.T) {
	t.Parallel()
	s, ca := redistest.StartTLS(t, "of-default", redistest.User("own:")...)
	tls := []string{"engine.redis.tls = true", fmt.Sprintf("engine.redis.tls_ca = %q", ca), `engine.redis.prefix = "own:"`}
	user := start(t, nil, writeConfig(t, redisLines(s, append(tls,
		`engine.redis.username = "push"`, secret(t, "of-push\n"), "engine.redis.db = 3")...)...))
	other := start(t, nil, writeConfig(t, redisLines(s, append(tls, `engine.redis.password = "of-default"`)...)...))
	for _, d := range []*daemon{user, other} {
		d.want(t, "/push?cname=a&content=x", "ok")
		d.want(t, "/sign?cname=a", `"seq":1`)
		d.want(t, "/broadcast?content=x", "ok")
		d.want(t, "/info", `"channels": 1`)
		d.want(t, "/clear?cname=a", "ok 3")
		d.becomes(t, "/stats", `"up":true`)
		if strings.Contains(d.Log.String(), "of-") {
			t.Errorf("a password is in the log:\n%s", d.Log)
		}
	}
	user.want(t, "/close?cname=a", "ok 3")
	other.want(t, "/check?cname=a", `{"a": 1}`) // of the other database
	for _, db := range []string{"0", "3"} {
		keys := strings.Fields(s.CLI("-n", db, "keys", "*"))
		for _, key := range keys {
			if !strings.HasPrefix(key, "own:") {
				t.Errorf("database %s has the key %s", db, key)
			}
		}
		if len(keys) == 0 {
			t.Errorf("database %s is not used", db)
		}
	}
}

// TestRedisRefusesTheStart: the reason is one line, and the status is 1.
func TestRedisRefusesTheStart(t *testing.T) {
	t.Parallel()
	s, ca := redistest.StartTLS(t, "of-default", redistest.User("own:")...)
	plain := redistest.Start(t)
	foreign, _ := redistest.Certificate(t)
	tls, trusted := "engine.redis.tls = true", fmt.Sprintf("engine.redis.tls_ca = %q", ca)
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		redis *redistest.Server
		want  string
		lines []string
	}{
		{s, "it has hung up; perhaps it wants TLS on this port: ", nil},
		{plain, "it does not answer; perhaps it speaks no TLS on this port: ", []string{tls}},
		{s, "its certificate is not trusted (tls_ca): ", []string{tls}},
		{s, "its certificate is not trusted (tls_ca): ", []string{tls, fmt.Sprintf("engine.redis.tls_ca = %q", foreign)}},
		{s, "it wants a password, and none is configured: NOAUTH", []string{tls, trusted}},
		{s, "the user name or the password is wrong: WRONGPASS", []string{tls, trusted, `engine.redis.password = "wrong"`}},
		{s, "the user name or the password is wrong: WRONGPASS", []string{
			tls, trusted, `engine.redis.username = "nobody"`, `engine.redis.password = "of-default"`}},
		{s, "this user may not do all that is needed: heartbeat: NOPERM", []string{
			tls, trusted, `engine.redis.username = "push"`, `engine.redis.password = "of-push"`, `engine.redis.prefix = "foreign:"`}},
		{plain, "there is no such database (db): DB index is out of range", []string{"engine.redis.db = 16"}},
	} {
		r := runToEnd(t, nil, writeConfig(t, redisLines(c.redis, c.lines...)...))
		lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
		want := "icomet-server: engine.redis: redis " + c.redis.Addr() + ": " + c.want
		if r.status != 1 || !strings.HasPrefix(lines[len(lines)-1], want) || strings.Contains(r.stderr, "of-") {
			t.Errorf("%q: status %d\n%s\nwant %s", c.lines, r.status, r.stderr, want)
		}
	}
	r := runToEnd(t, []string{"ICOMET_ENGINE_REDIS_ADDRESS=" + strings.Replace(s.Addr(), "127.0.0.1", "localhost", 1)},
		writeConfig(t, `engine.type = "redis"`, tls, trusted))
	if want := "its certificate is for another name than the address says: "; r.status != 1 || !strings.Contains(r.stderr, want) {
		t.Errorf("another name: %+v, want %s", r, want)
	}
	for line, want := range map[string]string{
		fmt.Sprintf("engine.redis.tls_ca = %q", missing): "engine.redis.tls_ca: open " + missing + ": no such file or directory\n",
		secret(t, ""): "",
		fmt.Sprintf("engine.redis.password_file = %q", missing): "engine.redis.password_file: open " + missing + ": no such file or directory\n",
		fmt.Sprintf("engine.redis.tls_ca = %q", writeConfig(t)): "has no certificate\n",
		`engine.redis.password = "x"` + "\n" + secret(t, "y"):   "engine.redis.password and password_file are both set\n",
	} {
		r := runToEnd(t, nil, "-t", writeConfig(t, redisLines(s, tls, line)...))
		if r.status != min(1, len(want)) || !strings.HasSuffix(r.stderr, want) {
			t.Errorf("-t with %q: %+v, want %q", line, r, want)
		}
	}
}
