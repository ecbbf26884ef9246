package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"icomet/internal/version"
)

func TestVersion(t *testing.T) {
	r := runToEnd(t, nil, "-version")
	want := regexp.MustCompile(`^icomet-server ` + regexp.QuoteMeta(version.Release) + ` \((commit \S+, \S+, )?` + regexp.QuoteMeta(runtime.Version()) + `, gnet v2\.\S+\)\n$`)
	if r.status != 0 || r.stderr != "" || !want.MatchString(r.stdout) {
		t.Errorf("got %+v, want %s", r, want)
	}
}

func TestHelp(t *testing.T) {
	r := runToEnd(t, nil, "-h")
	if r.status != 0 || r.stderr != "" || r.stdout != usage {
		t.Errorf("got %+v", r)
	}
	for _, want := range []string{"-t ", "-s ", "-health ", "-version", "-h ", "stop", "restart", "reload", "reopen", "Examples:"} {
		if !strings.Contains(usage, want) {
			t.Errorf("the help does not say %q", want)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-s kill":      `invalid value "kill" for flag -s: must be stop, restart, reload or reopen`,
		"-nonsense":    `flag provided but not defined: -nonsense`,
		"a.toml -t":    `one CONFIG at most, and flags before it; "-t" is too much`,
		"-t -s reload": `-t and -s do not go together`,
	} {
		r := runToEnd(t, nil, strings.Fields(args)...)
		want := "icomet-server: " + want + "\nTry icomet-server -h.\n"
		if r.status != 2 || r.stdout != "" || r.stderr != want {
			t.Errorf("%s: got %+v, want %s", args, r, want)
		}
	}
}

func TestCheckConfiguration(t *testing.T) {
	t.Parallel()
	good := writeConfig(t)
	bad := writeConfig(t, "front.channel_buffer_size = 0")
	classes := writeConfig(t, "[[channels]]\nmatch = \"chat.*\"\nbuffer_ttl = \"1h\"")
	missing := filepath.Join(t.TempDir(), "missing.toml")
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		want    result
	}{
		{"no file", nil, []string{"-t"}, result{0, "configuration ok\n", ""}},
		{"good file", nil, []string{"-t", good}, result{0, "configuration ok\n", ""}},
		{"channel classes", []string{"ICOMET_FRONT_CHANNEL_TIMEOUT=5"}, []string{"-t", classes}, result{
			0, `[[channels]] "chat.*": buffer_size 10, buffer_ttl 1h0m0s, buffer_bytes 0, timeout 5, max_subscribers 1000000, auth none` + "\nconfiguration ok\n", "",
		}},
		{"bad file", nil, []string{"-t", bad}, result{
			1, "", "icomet-server: " + bad + ":3: front.channel_buffer_size = 0: must be 1 to 100000\n",
		}},
		{"missing file", nil, []string{"-t", missing}, result{
			1, "", "icomet-server: " + missing + ": no such file or directory\n",
		}},
		{"bad variable", []string{"ICOMET_FRONT_AUTH=yes"}, []string{"-t", good}, result{
			1, "", "icomet-server: environment: ICOMET_FRONT_AUTH = \"yes\": must be one of none, token, jwt\n",
		}},
		{"variable over file", []string{"ICOMET_FRONT_CHANNEL_BUFFER_SIZE=5"}, []string{"-t", good}, result{
			0, "configuration ok\n", "",
		}},
		{"unknown variable", []string{"ICOMET_FRONT_AUT=none"}, []string{"-t"}, result{
			0, "configuration ok\n",
			"icomet-server: warning: unknown environment variable ICOMET_FRONT_AUT, did you mean ICOMET_FRONT_AUTH?\n",
		}},
	} {
		if got := runToEnd(t, c.environ, c.args...); got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestBadConfigurationStopsTheStart(t *testing.T) {
	t.Parallel()
	bad := writeConfig(t, "nonsense = 1")
	r := runToEnd(t, nil, bad)
	want := "icomet-server: " + bad + ":3: nonsense = 1: unknown key\n"
	if r.status != 1 || r.stderr != want {
		t.Errorf("got %+v, want %s", r, want)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	for _, role := range []string{"front", "admin"} {
		pidfile := filepath.Join(t.TempDir(), "pid")
		variable := "ICOMET_" + strings.ToUpper(role) + "_LISTEN=" + taken
		r := runToEnd(t, []string{variable, "ICOMET_PIDFILE=" + pidfile}, writeConfig(t))
		want := regexp.MustCompile(`^icomet-server: ` + role + `\.listen ` + regexp.QuoteMeta(taken) + `: .*address already in use\n$`)
		if r.status != 1 || !want.MatchString(r.stderr) {
			t.Errorf("got %+v, want %s", r, want)
		}
		if _, err := os.Stat(pidfile); !os.IsNotExist(err) {
			t.Errorf("the pidfile is left: %v", err)
		}
	}
}

// TestEnvironmentOverridesFile: the port in the file cannot be used.
func TestEnvironmentOverridesFile(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := filepath.Join(t.TempDir(), "config.toml")
	text := fmt.Sprintf("front.listen = %q\n", l.Addr())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, []string{
		"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0", "ICOMET_FRONT_AUHT=x",
	}, path)
	d.checkAnswers(t)
	d.WaitLog(`level=WARN msg="unknown environment variable ICOMET_FRONT_AUHT, did you mean ICOMET_FRONT_AUTH?"`, 1)
}

func TestWithoutFile(t *testing.T) {
	t.Parallel()
	d := start(t, []string{"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0"})
	d.checkAnswers(t)
	d.Send(syscall.SIGINT)
	d.WaitEnd(startLimit, 0)
}

// TestDescriptorLimit starts with a soft limit that is lower than the hard one, and with
// more connections than fit below either.
func TestDescriptorLimit(t *testing.T) {
	t.Parallel()
	d := launch(t, underLimit(t, "ulimit -Sn 300 && ulimit -Hn 900", "limits.connections = 869"))
	d.WaitLog(`the file descriptor limit is low for limits.connections`, 1)
	d.WaitLog(`connections=869 limit=900 fit=868`, 1)
	d.WaitLog(`descriptors=900`, 1)
}
