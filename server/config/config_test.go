package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// TestConfigMistakes loads every file of testdata/config. The first line of
// each says, behind "# ", the line of the mistake and the rest of the error.
func TestConfigMistakes(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(paths) < 50 {
		t.Fatalf("found %d files, err %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(data), "\n")
			want := path + ":" + strings.TrimPrefix(first, "# ")
			cfg, _, err := Load(path, nil)
			if err == nil {
				t.Fatalf("was accepted, want %s", want)
			}
			if err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
			if _, ok := err.(*Error); !ok {
				t.Errorf("is a %T", err)
			}
			if !reflect.DeepEqual(cfg, Config{}) {
				t.Errorf("a configuration came with the error: %+v", cfg)
			}
		})
	}
}

func TestConfigErrorFields(t *testing.T) {
	path := "testdata/range_int.toml"
	_, _, err := Load(path, nil)
	want := &Error{
		File: path, Line: 5, Key: "front.channel_buffer_size", Value: "0", Reason: "must be 1 to 100000",
	}
	if !reflect.DeepEqual(err, want) {
		t.Errorf("got %#v, want %#v", err, want)
	}
}

func TestConfigUnreadable(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.toml")
	large := writeConfig(t, strings.Repeat("#", maxConfigFile+1))
	for path, want := range map[string]string{
		missing: missing + ": no such file or directory",
		dir:     dir + ": is a directory",
		large:   large + ": is larger than 1MiB: not a configuration file",
	} {
		if _, _, err := Load(path, nil); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestConfigWithoutFileIsDefault(t *testing.T) {
	cfg, warnings, err := Load("", []string{"PATH=/bin", "HOME="})
	if err != nil || len(warnings) != 0 || !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("got %+v, %q, %v", cfg, warnings, err)
	}
}

// TestConfigDefaultsAreValid judges every default as if it had been set, and
// so proves as well that each key is declared with a rule that can be read.
func TestConfigDefaultsAreValid(t *testing.T) {
	cfg := Default()
	for _, f := range fieldsOf(&cfg) {
		if err := f.check(); err != nil {
			t.Errorf("%s: %v", f.key, err)
		}
		if f.value.CanInt() {
			if least, most, err := f.bounds(); err != nil || least >= most || least < 0 {
				t.Errorf("%s: range %d to %d, %v", f.key, least, most, err)
			}
		}
		form, listed := f.tag.Lookup("form")
		if textForms[form] == nil {
			t.Errorf("%s: unknown form %q", f.key, form)
		}
		if f.value.Kind() == reflect.Slice && !listed {
			t.Errorf("%s: a list without a form", f.key)
		}
	}
}

// TestShippedConfig compares ../../config.toml with the defaults and wants every
// key in it with its range and with what a reload does.
func TestShippedConfig(t *testing.T) {
	const path = "../../config.toml"
	cfg, _, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(cfg, want) {
		t.Errorf("\n got %+v\nwant %+v", cfg, want)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := toml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(data), "\n\n")
	section := ""
	comments := map[string]string{}
	for _, block := range blocks {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "[") {
				section = strings.Trim(line, "[]") + "."
			} else if key, _, found := strings.Cut(line, " = "); found && !strings.HasPrefix(line, "#") {
				comments[section+key] = strings.Join(lines[:i], "\n")
			}
		}
	}
	for _, f := range fieldsOf(&cfg) {
		checkDocumented(t, f, comments)
		delete(comments, f.key)
	}
	for key := range comments {
		t.Errorf("%s is documented and is no key", key)
	}
	checkShippedExample(t, string(data))
}

func checkDocumented(t *testing.T, f keyField, comments map[string]string) {
	t.Helper()
	comment, found := comments[f.key]
	if !found {
		t.Errorf("%s is not in the file", f.key)
		return
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(comment, "#", " ")), " ")
	wants := []string{"(reload)"}
	if f.tag.Get("restart") == "yes" {
		wants[0] = "(restart)"
	}
	if limits, ok := f.tag.Lookup("range"); ok {
		wants = append(wants, strings.ReplaceAll(limits, "..", " to "))
	}
	if words, ok := f.tag.Lookup("oneof"); ok {
		wants = append(wants, strings.Split(words, "|")...)
	}
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s: the comment does not say %q: %s", f.key, want, text)
		}
	}
}

// everyKey sets each key to something that is not its default, but for engine.snapshot,
// which cannot stand beside Redis.
const everyKey = `
pidfile = "/run/icomet.pid"
logger = {level = "debug", output = "/var/log/icomet.log", format = "json"}
front.listen = "[::]:80"
front.auth = "token"
front.max_channels = 1
front.max_subscribers_per_channel = 100_000_000
front."channel_buffer_size" = 100000
front.id_window = 64
front.channel_timeout = 1
front.polling_timeout = 2
front.allow_origins = ["https://example.com", "http://[::1]:3000", "chrome-extension://abc"]
front.jwt_keys = ["/etc/icomet/a.pem", "b"]
front.jwt_audience = "push"
front.create_on_subscribe = false
front.trusted_proxies = ["10.0.0.1"]
front.proxy_protocol = true
front.websocket_compression = true
[front.tls]
certificates = ["/etc/icomet/tls.pem:/etc/icomet/tls.key", "/etc/icomet/both.pem"]
min_version = "1.2"
client_ca = "/etc/icomet/clients.pem"
handshakes = 1
curves = ["X25519MLKEM768", "P256"]
listen_plain = "127.0.0.1:8101"
strict_transport_security = "max-age=31536000; includeSubDomains"
[admin]
listen = "localhost:0"
allow = ["all"]
deny = ["10.0.0.9", "fd00::/8"]
keys = ["k1", "k,2"]
keys_file = "/etc/icomet/keys"
hosts = ["push.internal"]
allow_origins = ["http://desk.internal:81"]
trusted_proxies = ["fd00::/8"]
proxy_protocol = true
[admin.tls]
certificates = ["admin.pem"]
min_version = "1.2"
client_ca = "services.pem"
handshakes = 65536
curves = ["P384"]
listen_plain = "localhost:0"
strict_transport_security = 'MAX-AGE="0"'
[limits]
request_line = "64B"
header = "1MiB"
header_fields = 10000
body = "1GiB"
request_timeout = "100ms"
idle_timeout = "24h"
outbound_buffer = "1KiB"
send_buffer = "64KB"
keepalive = "1m30s"
connections = 5
connections_per_ip = 6
channels_per_connection = 7
commands = 8
drain_delay = "20s"
drain_timeout = "1h"
[runtime]
event_loops = 64
memory_limit = "2GiB"
[engine]
type = "redis"
[engine.redis]
address = ["redis.internal:6379", "[::1]:6380"]
sentinel = "mymaster"
sentinel_username = "watcher"
sentinel_password = "hers"
sentinel_password_file = "/run/secrets/sentinel"
username = "push"
password = "p,w"
password_file = "/etc/icomet/redis"
tls = true
tls_ca = "/etc/icomet/ca.pem"
db = 1000000
prefix = "p:"
pool = 64
dial_timeout = "10ms"
timeout = "1m"
node_timeout = "1h"
`

func everyKeyConfig() Config {
	return Config{
		Pidfile: "/run/icomet.pid",
		Logger:  Logger{Level: "debug", Output: "/var/log/icomet.log", Format: "json"},
		Front: Front{
			Listen: "[::]:80", Auth: "token", MaxChannels: 1, MaxSubscribersPerChannel: 100_000_000,
			ChannelBufferSize: 100_000, IDWindow: 64, ChannelTimeout: 1, PollingTimeout: 2,
			WebSocketCompression: true,
			AllowOrigins:         []string{"https://example.com", "http://[::1]:3000", "chrome-extension://abc"},
			JWTKeys:              []string{"/etc/icomet/a.pem", "b"}, JWTAudience: "push",
			TrustedProxies: []string{"10.0.0.1"}, ProxyProtocol: true,
			TLS: TLS{
				Certificates: []string{"/etc/icomet/tls.pem:/etc/icomet/tls.key", "/etc/icomet/both.pem"},
				MinVersion:   "1.2", ClientCA: "/etc/icomet/clients.pem", Handshakes: 1, Curves: []string{"X25519MLKEM768", "P256"},
				ListenPlain: "127.0.0.1:8101", StrictTransportSecurity: "max-age=31536000; includeSubDomains",
			},
		},
		Admin: Admin{
			Listen: "localhost:0", Allow: []string{"all"},
			Deny: []string{"10.0.0.9", "fd00::/8"}, Keys: []string{"k1", "k,2"},
			KeysFile: "/etc/icomet/keys", Hosts: []string{"push.internal"}, AllowOrigins: []string{"http://desk.internal:81"},
			TrustedProxies: []string{"fd00::/8"}, ProxyProtocol: true,
			TLS: TLS{
				Certificates: []string{"admin.pem"}, MinVersion: "1.2", ClientCA: "services.pem", Handshakes: 65536,
				Curves: []string{"P384"}, ListenPlain: "localhost:0", StrictTransportSecurity: `MAX-AGE="0"`,
			},
		},
		Limits: Limits{
			RequestLine: 64, Header: 1 << 20, HeaderFields: 10_000, Body: 1 << 30,
			RequestTimeout: Duration(100 * time.Millisecond), IdleTimeout: Duration(24 * time.Hour),
			OutboundBuffer: 1024, SendBuffer: 64_000, Keepalive: Duration(90 * time.Second),
			Connections: 5, ConnectionsPerIP: 6, ChannelsPerConnection: 7, Commands: 8, DrainDelay: Duration(20 * time.Second), DrainTimeout: Duration(time.Hour),
		},
		Runtime: Runtime{EventLoops: 64, MemoryLimit: 2 << 30},
		Engine: Engine{Type: "redis", Redis: Redis{
			Address: []string{"redis.internal:6379", "[::1]:6380"}, Sentinel: "mymaster",
			SentinelUsername: "watcher", SentinelPassword: "hers", SentinelPasswordFile: "/run/secrets/sentinel",
			Username: "push", Password: "p,w", PasswordFile: "/etc/icomet/redis",
			TLS: true, TLSCA: "/etc/icomet/ca.pem", DB: 1_000_000, Prefix: "p:", Pool: 64,
			DialTimeout: Duration(10 * time.Millisecond), Timeout: Duration(time.Minute),
			NodeTimeout: Duration(time.Hour),
		}},
	}
}

func TestConfigEveryKeyFromFile(t *testing.T) {
	cfg, _, err := Load(writeConfig(t, everyKey), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := everyKeyConfig(); !reflect.DeepEqual(cfg, want) {
		t.Errorf("\n got %+v\nwant %+v", cfg, want)
	}
	defaults := Default()
	theirs := fieldsOf(&defaults)
	for i, f := range fieldsOf(&cfg) {
		if f.key != "engine.snapshot" && reflect.DeepEqual(f.value.Interface(), theirs[i].value.Interface()) {
			t.Errorf("%s still has its default", f.key)
		}
	}
}

func TestConfigFileKeepsOtherDefaults(t *testing.T) {
	cfg, _, err := Load(writeConfig(t, "[front]\nauth = \"token\"\n[limits]\n"), nil)
	want := Default()
	want.Front.Auth = "token"
	if err != nil || !reflect.DeepEqual(cfg, want) {
		t.Errorf("got %+v, %v", cfg, err)
	}
}

func TestConfigNeedsRestart(t *testing.T) {
	old, next := Default(), everyKeyConfig()
	next.Engine.Snapshot = "/var/lib/icomet/channels"
	if keys := old.NeedsRestart(&old); keys != nil {
		t.Errorf("nothing has changed: %q", keys)
	}
	want := []string{
		"pidfile", "logger.output", "logger.format", "front.listen",
		"front.tls.certificates", "front.tls.listen_plain", "admin.listen",
		"admin.tls.certificates", "admin.tls.listen_plain", "runtime.event_loops",
		"engine.type", "engine.snapshot", "engine.redis.address", "engine.redis.sentinel",
		"engine.redis.sentinel_username", "engine.redis.sentinel_password", "engine.redis.sentinel_password_file",
		"engine.redis.username",
		"engine.redis.password", "engine.redis.password_file", "engine.redis.tls", "engine.redis.tls_ca",
		"engine.redis.db", "engine.redis.prefix", "engine.redis.pool", "engine.redis.dial_timeout",
		"engine.redis.timeout", "engine.redis.node_timeout",
	}
	if keys := old.NeedsRestart(&next); !reflect.DeepEqual(keys, want) {
		t.Errorf("everything has changed: got %q, want %q", keys, want)
	}
	next = Default()
	next.Front.ChannelTimeout++
	next.Admin.Deny = []string{"all"}
	next.Channels = []ChannelClass{classFrom(&next.Front)}
	next.Admin.Listen = "127.0.0.1:1"
	if keys := old.NeedsRestart(&next); !reflect.DeepEqual(keys, []string{"admin.listen"}) {
		t.Errorf("got %q, want admin.listen", keys)
	}
}

// FuzzConfig loads any bytes as a file and as a variable: no panic, and every
// error says why, on one line.
func FuzzConfig(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.toml")
	for _, path := range append(paths, "../../config.toml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "ICOMET_FRONT_LISTEN=:0")
	}
	f.Add([]byte(everyKey), "ICOMET_ADMIN_KEYS=a,b")
	f.Add([]byte("[[channels]]\nmatch = \"a\"\n[[channels]]\nmatch = \"*\"\nauth = \"token\""), "ICOMET_CHANNELS=a")
	f.Add([]byte("a = \"\"\"\n\\\n\"\"\""), "ICOMET_=")
	path := filepath.Join(f.TempDir(), "config.toml")
	f.Fuzz(func(t *testing.T, data []byte, entry string) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := Load(path, []string{entry})
		if err == nil {
			fields := fieldsOf(&cfg)
			for i := range cfg.Channels {
				fields = append(fields, cfg.Channels[i].fields(i)...)
			}
			for _, field := range fields {
				if err := field.check(); err != nil {
					t.Errorf("accepted: %s: %v", field.key, err)
				}
			}
			return
		}
		ce, ok := err.(*Error)
		if !ok || ce.Reason == "" || ce.File == "" || strings.ContainsAny(err.Error(), "\r\n\x00") {
			t.Errorf("%T %q", err, err)
		}
	})
}
