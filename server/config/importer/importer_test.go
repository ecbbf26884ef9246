package importer

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"icomet/server/config"
)

// load writes what Convert returns to a file and loads that.
func load(t *testing.T, toml string) config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := config.Load(path, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v in\n%s", err, warnings, toml)
	}
	return cfg
}

func convert(t *testing.T, text string) (string, config.Config) {
	t.Helper()
	toml, err := Convert("/etc/icomet/icomet.conf", text)
	if err != nil {
		t.Fatal(err)
	}
	return toml, load(t, toml)
}

// TestWhole: every key that the original knows.
func TestWhole(t *testing.T) {
	text := strings.Join([]string{
		"# a comment", "pidfile = ./run/icomet.pid", "",
		"logger:", "\tlevel: warn", "\t#level: debug", "\toutput: log.txt", "\trotate:", "\t\tsize: 1000", "",
		"admin:", "\tlisten: 10.0.0.1:8001", "\tallow: 127.0.0.1", "\tallow: 192.168", "\tdeny: all",
		"front:", "\tlisten: 0.0.0.0:8101", "\tauth: token", "\tmax_channels: 100", "\tmax_subscribers_per_channel: 16",
		"\tchannel_buffer_size: 20", "\tchannel_timeout: 40", "\tpolling_timeout = 50", "",
	}, "\n")
	toml, cfg := convert(t, text)
	want := config.Default()
	want.Pidfile = "/etc/icomet/run/icomet.pid"
	want.Logger.Level, want.Logger.Output = "warn", "/etc/icomet/log.txt"
	want.Admin.Listen, want.Admin.Allow = "10.0.0.1:8001", []string{"127.0.0.1", "192.168.0.0/16"}
	f := &want.Front
	f.Listen, f.Auth, f.MaxChannels, f.MaxSubscribersPerChannel = "0.0.0.0:8101", "token", 100, 16
	f.ChannelBufferSize, f.ChannelTimeout, f.PollingTimeout = 20, 40, 50
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("\n got %+v\nwant %+v\n%s", cfg, want, toml)
	}
	for _, comment := range []string{"# line 9: rotate.size = 1000 has no equivalent", "# deny is not needed"} {
		if !strings.Contains(toml, comment) {
			t.Errorf("no comment %q in\n%s", comment, toml)
		}
	}
	if _, crlf := convert(t, "\ufeff"+strings.ReplaceAll(text, "\n", "\r\n")); !reflect.DeepEqual(crlf, want) {
		t.Errorf("with CRLF and a byte order mark: %+v", crlf)
	}
}

// TestDifferences: what has no equivalent is as near as can be, and a comment says so.
func TestDifferences(t *testing.T) {
	for _, c := range []struct{ text, comment, wants string }{
		{"logger:\n\tlevel: trace", "trace has no equivalent", `level = "debug"`},
		{"logger:\n\tlevel: fatal", "fatal has no equivalent", `level = "error"`},
		{"logger:\n\tlevel: loud", `took "loud" for debug`, `level = "debug"`},
		{"", "", `output = "stdout"`},
		{"logger:\n\toutput: stderr", "", `output = "stderr"`},
		{"logger:\n\toutput: a\"b\\c", "", `output = "/etc/icomet/a\"b\\c"`},
		{"front:\n\tauth: jwt", `took "jwt" for none`, `auth = "none"`},
		{"front:\n\tpolling_timeout: 31", "half of polling_timeout", "channel_timeout = 15"},
		{"front:\n\tpolling_timeout: 1\n\tchannel_timeout: 0", "half of polling_timeout", "channel_timeout = 1"},
		{"front:\n\tmax_channels: 010", "", "max_channels = 10"},
		{"front:\n\tmax_channels: 5\n\tmax_channels: 6", "line 3: front.max_channels is given again; line 2 counts", "max_channels = 5"},
		{"front:\n\tsub_ip: x", "line 2: front.sub_ip = x: the original does not know", ""},
		{"other: 1", "line 1: other = 1: the original does not know", ""},
		{"", "let everybody in", `allow = ["all"]`},
		{"admin:\n\tallow: *", "", `allow = ["all"]`},
		{"admin:\n\tallow: all\n\tdeny: 10.0.0.9", "", `deny = ["10.0.0.9"]`},
		{"admin:\n\tallow: all\n\tdeny: all\n\tallow: 10.", "deny is not needed", `allow = ["10.0.0.0/8"]`},
		{"admin:\n\tdeny: 10.0.0.9", "deny is not needed", `allow = []`},
		{"admin:\n\tallow: 10.1", "10.1 also stood for 10.10", `allow = ["10.1.0.0/16"]`},
		{"admin:\n\tallow: all\n\tallow: 10.0.0.9\n\tdeny: 10.", "allow: 10.0.0.9 has no equivalent beside deny: 10. (line 4)", `deny = ["10.0.0.0/8"]`},
		{"admin:\n\tlisten: 0.0.0.0:8000", "hosts lists the name", `listen = "0.0.0.0:8000"`},
		{"front:\n\tlisten: 127.0.0.1:8000\nadmin:\n\tlisten: 127.0.0.1:8001", "", `listen = "127.0.0.1:8001"`},
	} {
		toml, _ := convert(t, c.text)
		if !strings.Contains(toml, c.wants) || !strings.Contains(toml, c.comment) {
			t.Errorf("%q: %q or %q is not in\n%s", c.text, c.wants, c.comment, toml)
		}
	}
}

// TestErrors: what cannot be imported is told with its line, all at once.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"logger:\n  level: debug", ":2: the line is indented with spaces"},
		{"\tlevel: debug", ":1: the line is indented deeper"},
		{"logger:\n\t\tlevel: debug", ":2: the line is indented deeper"},
		{"logger:\n\tlevel debug", ":2: level debug: there is no : or ="},
		{": x", ":1: there is no key before :"},
		{"front:\n\tmax_channels: many", `:2: front.max_channels = "many": must be a whole number`},
		{"front:\n\tmax_channels: 0", `:2: front.max_channels = "0": must be 1 to 100000000`},
		{"front:\n\tpolling_timeout: 0", ":2: front.polling_timeout"},
		{"front:\n\tchannel_timeout: soon", ":2: front.channel_timeout"},
		{"front:\n\tlisten: 8100", ":2: front.listen"},
		{"front:\n\tlisten: :80\nadmin:\n\tlisten: :80", ":4: admin.listen"},
		{"admin:\n\tallow: 10.0.0.", ":2: admin.allow"},
		{"admin:\n\tallow: 10.256", ":2: admin.allow"},
		{"admin:\n\tallow: localhost", ":2: admin.allow"},
		{"admin:\n\tallow: fd00::1", ":2: admin.allow"},
		{"admin:\n\tallow: 1.2.3.4.5\n\tdeny: x", ":3: admin.deny"},
	} {
		toml, err := Convert("icomet.conf", c.text)
		if err == nil || toml != "" || !strings.Contains(err.Error(), "icomet.conf"+c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

// FuzzConvert: whatever Convert returns, the server takes.
func FuzzConvert(f *testing.F) {
	f.Add("logger:\n\toutput: x\nadmin:\n\tallow: 10.\n\tdeny: all\nfront:\n\tlisten: :1\n\tmax_channels: 3\n")
	f.Add("pidfile = a\x7f\"\\\xff\nfront:\n\tauth: \x01\n")
	f.Fuzz(func(t *testing.T, text string) {
		if toml, err := Convert("icomet.conf", text); err == nil {
			load(t, toml)
		}
	})
}
