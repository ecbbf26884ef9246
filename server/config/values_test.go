package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// everyVariable says the same as everyKey, save that no key has a comma.
func everyVariable() []string {
	return []string{
		"ICOMET_PIDFILE=/run/icomet.pid",
		"ICOMET_LOGGER_LEVEL=debug",
		"ICOMET_LOGGER_OUTPUT=/var/log/icomet.log",
		"ICOMET_LOGGER_FORMAT=json",
		"ICOMET_FRONT_LISTEN=[::]:80",
		"ICOMET_FRONT_AUTH=token",
		"ICOMET_FRONT_MAX_CHANNELS=1",
		"ICOMET_FRONT_MAX_SUBSCRIBERS_PER_CHANNEL=100000000",
		"ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100000",
		"ICOMET_FRONT_ID_WINDOW=64",
		"ICOMET_FRONT_CHANNEL_TIMEOUT=1",
		"ICOMET_FRONT_POLLING_TIMEOUT=2",
		"ICOMET_FRONT_ALLOW_ORIGINS=https://example.com, http://[::1]:3000,chrome-extension://abc",
		"ICOMET_FRONT_JWT_KEYS=/etc/icomet/a.pem,b",
		"ICOMET_FRONT_JWT_AUDIENCE=push",
		"ICOMET_FRONT_CREATE_ON_SUBSCRIBE=false",
		"ICOMET_FRONT_TRUSTED_PROXIES=10.0.0.1",
		"ICOMET_FRONT_PROXY_PROTOCOL=true", "ICOMET_FRONT_WEBSOCKET_COMPRESSION=true",
		"ICOMET_FRONT_TLS_CERTIFICATES=/etc/icomet/tls.pem:/etc/icomet/tls.key,/etc/icomet/both.pem",
		"ICOMET_FRONT_TLS_MIN_VERSION=1.2", "ICOMET_FRONT_TLS_CLIENT_CA=/etc/icomet/clients.pem",
		"ICOMET_FRONT_TLS_HANDSHAKES=1", "ICOMET_FRONT_TLS_CURVES=X25519MLKEM768,P256",
		"ICOMET_FRONT_TLS_LISTEN_PLAIN=127.0.0.1:8101",
		"ICOMET_FRONT_TLS_STRICT_TRANSPORT_SECURITY=max-age=31536000; includeSubDomains",
		"ICOMET_ADMIN_LISTEN=localhost:0",
		"ICOMET_ADMIN_ALLOW=all",
		"ICOMET_ADMIN_DENY=10.0.0.9,fd00::/8",
		"ICOMET_ADMIN_KEYS=k1,k=2,",
		"ICOMET_ADMIN_KEYS_FILE=/etc/icomet/keys",
		"ICOMET_ADMIN_HOSTS=push.internal",
		"ICOMET_ADMIN_ALLOW_ORIGINS=http://desk.internal:81",
		"ICOMET_ADMIN_TRUSTED_PROXIES=fd00::/8",
		"ICOMET_ADMIN_PROXY_PROTOCOL=true",
		"ICOMET_ADMIN_TLS_CERTIFICATES=admin.pem",
		"ICOMET_ADMIN_TLS_MIN_VERSION=1.2", "ICOMET_ADMIN_TLS_CLIENT_CA=services.pem",
		"ICOMET_ADMIN_TLS_HANDSHAKES=65536", "ICOMET_ADMIN_TLS_CURVES=P384",
		"ICOMET_ADMIN_TLS_LISTEN_PLAIN=localhost:0",
		"ICOMET_ADMIN_TLS_STRICT_TRANSPORT_SECURITY=MAX-AGE=\"0\"",
		"ICOMET_LIMITS_REQUEST_LINE=64",
		"ICOMET_LIMITS_HEADER=1MiB",
		"ICOMET_LIMITS_HEADER_FIELDS=10000",
		"ICOMET_LIMITS_BODY=1GiB",
		"ICOMET_LIMITS_REQUEST_TIMEOUT=100ms",
		"ICOMET_LIMITS_IDLE_TIMEOUT=24h",
		"ICOMET_LIMITS_OUTBOUND_BUFFER=1KiB",
		"ICOMET_LIMITS_SEND_BUFFER=64KB",
		"ICOMET_LIMITS_KEEPALIVE=1m30s",
		"ICOMET_LIMITS_CONNECTIONS=5",
		"ICOMET_LIMITS_CONNECTIONS_PER_IP=6", "ICOMET_LIMITS_CHANNELS_PER_CONNECTION=7", "ICOMET_LIMITS_COMMANDS=8",
		"ICOMET_LIMITS_DRAIN_DELAY=20s",
		"ICOMET_LIMITS_DRAIN_TIMEOUT=1h",
		"ICOMET_RUNTIME_EVENT_LOOPS=64",
		"ICOMET_RUNTIME_MEMORY_LIMIT=2GiB",
		"ICOMET_ENGINE_TYPE=redis",
		"ICOMET_ENGINE_REDIS_ADDRESS=redis.internal:6379,[::1]:6380",
		"ICOMET_ENGINE_REDIS_SENTINEL=mymaster",
		"ICOMET_ENGINE_REDIS_SENTINEL_USERNAME=watcher",
		"ICOMET_ENGINE_REDIS_SENTINEL_PASSWORD=hers",
		"ICOMET_ENGINE_REDIS_SENTINEL_PASSWORD_FILE=/run/secrets/sentinel",
		"ICOMET_ENGINE_REDIS_USERNAME=push",
		"ICOMET_ENGINE_REDIS_PASSWORD=p,w",
		"ICOMET_ENGINE_REDIS_PASSWORD_FILE=/etc/icomet/redis",
		"ICOMET_ENGINE_REDIS_TLS=true",
		"ICOMET_ENGINE_REDIS_TLS_CA=/etc/icomet/ca.pem",
		"ICOMET_ENGINE_REDIS_DB=1000000",
		"ICOMET_ENGINE_REDIS_PREFIX=p:",
		"ICOMET_ENGINE_REDIS_POOL=64",
		"ICOMET_ENGINE_REDIS_DIAL_TIMEOUT=10ms",
		"ICOMET_ENGINE_REDIS_TIMEOUT=1m",
		"ICOMET_ENGINE_REDIS_NODE_TIMEOUT=1h",
	}
}

func TestConfigEveryKeyFromEnvironment(t *testing.T) {
	cfg, warnings, err := Load("", everyVariable())
	if err != nil || len(warnings) != 0 {
		t.Fatalf("warnings %q, error %v", warnings, err)
	}
	want := everyKeyConfig()
	want.Admin.Keys = []string{"k1", "k=2"}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("\n got %+v\nwant %+v", cfg, want)
	}
	if n := len(fieldsOf(&cfg)); n != len(everyVariable())+len("S") { // engine.snapshot
		t.Errorf("%d keys, %d variables in the test", n, len(everyVariable()))
	}
	if cfg, _, err = Load("", []string{"ICOMET_ENGINE_SNAPSHOT=/s"}); err != nil || cfg.Engine.Snapshot != "/s" {
		t.Errorf("snapshot %q, error %v", cfg.Engine.Snapshot, err)
	}
}

func TestConfigEnvironmentWins(t *testing.T) {
	path := writeConfig(t, "pidfile = \"/a\"\n[front]\nauth = \"token\"\nchannel_timeout = 5\n")
	cfg, _, err := Load(path, []string{
		"ICOMET_FRONT_CHANNEL_TIMEOUT=7", "ICOMET_PIDFILE=", "ICOMET_FRONT_ALLOW_ORIGINS=",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Front.Auth, want.Front.ChannelTimeout, want.Front.AllowOrigins = "token", 7, []string{}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("\n got %+v\nwant %+v", cfg, want)
	}
}

func TestConfigEnvironmentMistakes(t *testing.T) {
	for entry, want := range map[string]string{
		"ICOMET_FRONT_AUTH=yes":                              `ICOMET_FRONT_AUTH = "yes": must be one of none, token, jwt`,
		"ICOMET_FRONT_MAX_CHANNELS=":                         `ICOMET_FRONT_MAX_CHANNELS = "": must be a whole number`,
		"ICOMET_FRONT_MAX_CHANNELS=0":                        `ICOMET_FRONT_MAX_CHANNELS = "0": must be 1 to 100000000`,
		"ICOMET_FRONT_PROXY_PROTOCOL=yes":                    `ICOMET_FRONT_PROXY_PROTOCOL = "yes": must be true or false`,
		"ICOMET_FRONT_AUTH=jwt":                              `ICOMET_FRONT_AUTH = "jwt": needs front.jwt_keys`,
		"ICOMET_ADMIN_PROXY_PROTOCOL=true":                   `ICOMET_ADMIN_PROXY_PROTOCOL = true: needs trusted_proxies: the header is believed from nobody else`,
		"ICOMET_ADMIN_HOSTS=a:80":                            `ICOMET_ADMIN_HOSTS = "a:80": must be "*" or the name of a host, without scheme and port, like "push.internal"`,
		"ICOMET_LIMITS_REQUEST_TIMEOUT=10":                   `ICOMET_LIMITS_REQUEST_TIMEOUT = "10": must be a duration, like "250ms", "10s" or "1m30s"`,
		"ICOMET_LIMITS_BODY=1 MiB":                           `ICOMET_LIMITS_BODY = "1 MiB": must be a size, like "512B", "8KiB", "1MiB" or "2GiB"`,
		"ICOMET_ADMIN_ALLOW=all,10.0.0":                      `ICOMET_ADMIN_ALLOW = "10.0.0": must be an address, a network like "10.0.0.0/8" or "fd00::/8", or "all"`,
		"ICOMET_ADMIN_KEYS=do not show":                      `ICOMET_ADMIN_KEYS: a key must be visible ASCII without spaces`,
		"ICOMET_ADMIN_LISTEN=0.0.0.0:8100":                   `ICOMET_ADMIN_LISTEN = "0.0.0.0:8100": is the address of front.listen already`,
		"ICOMET_PIDFILE=" + strings.Repeat("é", 99) + "\x00": fmt.Sprintf(`ICOMET_PIDFILE = "%s…": must not contain a NUL`, strings.Repeat("é", 40)),
	} {
		_, _, err := Load("", []string{entry})
		if err == nil || err.Error() != "environment: "+want {
			t.Errorf("%s\n got %v\nwant environment: %s", entry, err, want)
		}
	}
}

// TestConfigRedisNeeds: what the Redis engine cannot start with, or would pass over.
func TestConfigRedisNeeds(t *testing.T) {
	for entry, want := range map[string]string{
		"ICOMET_ENGINE_SNAPSHOT=/s":        `ICOMET_ENGINE_SNAPSHOT = "/s": needs engine.type = "memory": Redis itself keeps the channels across a restart`,
		"ICOMET_ENGINE_REDIS_ADDRESS=":     `ICOMET_ENGINE_REDIS_ADDRESS: must have an address`,
		"ICOMET_ENGINE_REDIS_TLS_CA=a.pem": `ICOMET_ENGINE_REDIS_TLS_CA = "a.pem": needs engine.redis.tls`,
	} {
		_, _, err := Load("", []string{"ICOMET_ENGINE_TYPE=redis", entry})
		if err == nil || err.Error() != "environment: "+want {
			t.Errorf("%s\n got %v\nwant environment: %s", entry, err, want)
		}
		if _, _, err := Load("", []string{entry}); err != nil {
			t.Errorf("%s without Redis: %v", entry, err)
		}
	}
	if _, _, err := Load("", []string{
		"ICOMET_ENGINE_TYPE=redis", "ICOMET_ENGINE_REDIS_TLS_CA=a.pem", "ICOMET_ENGINE_REDIS_TLS=true",
	}); err != nil {
		t.Error(err)
	}
}

func TestConfigUnknownVariables(t *testing.T) {
	cfg, warnings, err := Load("", []string{
		"ICOMET_FRONT_LISTE=x", "ICOMET_HOME=/", "ICOMET_CHANNELS=a", "ICOMET_CHANNELS_0_MATCH=a", "icomet_front_listen=x", "NOT_ICOMET_FRONT_LISTEN=x",
	})
	want := []string{
		"unknown environment variable ICOMET_FRONT_LISTE, did you mean ICOMET_FRONT_LISTEN?",
		"unknown environment variable ICOMET_HOME",
		"environment variable ICOMET_CHANNELS is ignored: channel classes, [[channels]], are only in the file",
		"environment variable ICOMET_CHANNELS_0_MATCH is ignored: channel classes, [[channels]], are only in the file",
	}
	if err != nil || !slices.Equal(warnings, want) || !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("\n got %q, %v\nwant %q", warnings, err, want)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "7": 7, "512B": 512, "8KiB": 8192, "1MiB": 1 << 20, "2GiB": 2 << 30,
		"8KB": 8000, "3MB": 3_000_000, "4GB": 4_000_000_000, "9223372036854775807": 1<<63 - 1,
	} {
		got, err := parseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, int64(got), err, int64(want))
		}
		if back, err := parseSize(got.String()); got != 0 && (err != nil || back != got) {
			t.Errorf("%q: String %q reads as %d, %v", text, got, int64(back), err)
		}
	}
	for _, text := range []string{
		"", "B", "KiB", "-1", "+1", "1.5MiB", " 1", "1 KiB", "1K", "1kib", "1_000", "0x10", "1KiBB", "1TiB",
	} {
		if got, err := parseSize(text); err == nil || !strings.Contains(err.Error(), "must be a size") {
			t.Errorf("%q: got %d, %v", text, int64(got), err)
		}
	}
	for _, text := range []string{"9223372036854775808", "8589934592GiB", "99999999999999999999B"} {
		if got, err := parseSize(text); err == nil || err.Error() != "is too large" {
			t.Errorf("%q: got %d, %v", text, int64(got), err)
		}
	}
}

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{
		0: "", 1: "1B", 1023: "1023B", 1024: "1KiB", 1536: "1536B", 3 << 20: "3MiB", 1 << 40: "1024GiB",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %q, want %q", int64(size), got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1m30s": 90 * time.Second, "250ms": 250 * time.Millisecond, "0": 0, "-1s": -time.Second,
	} {
		got, err := parseDuration(text)
		if err != nil || time.Duration(got) != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
		if got.String() != want.String() {
			t.Errorf("%q: String is %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"", "10", "s", "1d", "10 s", "9999999h"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func writeConfig(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
