package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
)

// hardening is what icomet.service must not lose.
var hardening = []string{
	"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes",
	"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "SystemCallFilter=@system-service",
	"AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "MemoryDenyWriteExecute=yes",
}

// unit is the text of icomet.service without its comments, as lines.
func unit(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(strings.Split(read(t, "icomet.service"), "\n"), func(line string) bool {
		return line == "" || strings.HasPrefix(line, "#")
	})
}

// setting is the value of the one line that sets it.
func setting(t *testing.T, lines []string, name string) (value string) {
	t.Helper()
	n := 0
	for _, line := range lines {
		if v, ok := strings.CutPrefix(line, name+"="); ok {
			value = v
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%s is set %d times", name, n)
	}
	return value
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestUnit(t *testing.T) {
	t.Parallel()
	lines := unit(t)
	for _, want := range hardening {
		if !slices.Contains(lines, want) {
			t.Errorf("icomet.service has no %s", want)
		}
	}
	stop, err := time.ParseDuration(setting(t, lines, "TimeoutStopSec") + "s")
	if c := config.Default(); err != nil || stop <= leaves(&c) {
		t.Errorf("TimeoutStopSec is %v (%v), and the server leaves in %v", stop, err, leaves(&c))
	}
	for name, want := range map[string]string{
		"Type": "notify", "NotifyAccess": "main", "User": "icomet", "StateDirectory": "icomet", "LimitNOFILE": "1048576",
		"ExecStart": "/usr/bin/icomet-server /etc/icomet/config.toml", "StartLimitIntervalSec": "0",
		"ExecReload": `/bin/sh -c "kill -HUP $$MAINPID"`,
	} {
		if got := setting(t, lines, name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	nfpm := read(t, "nfpm.yaml")
	for _, path := range []string{"/usr/bin/icomet-server", "/etc/icomet/config.toml", "/etc/default/icomet", "/usr/lib/systemd/system/icomet.service"} {
		if !strings.Contains(nfpm, "dst: "+path+",") {
			t.Errorf("the packages do not have %s", path)
		}
	}
}

// TestUnitIsHardened asks systemd itself: 0 is the best, 10 the worst.
func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	out, err := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=25", "icomet.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSysctlExample: it changes nothing when somebody copies it as it is.
func TestSysctlExample(t *testing.T) {
	t.Parallel()
	for line := range strings.Lines(read(t, "sysctl.conf")) {
		if line != "\n" && !strings.HasPrefix(line, "#") {
			t.Errorf("not a comment: %s", line)
		}
	}
}

// TestScripts: a shell can read them, and they do nothing for calls that are not theirs.
func TestScripts(t *testing.T) {
	t.Parallel()
	for name, arg := range map[string]string{
		"postinstall": "abort-upgrade", "preremove": "upgrade", "postremove": "upgrade",
	} {
		root := t.TempDir()
		kept := filepath.Join(root, "var/lib/icomet")
		if err := os.MkdirAll(kept, 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-eu", "scripts/"+name, arg)
		cmd.Env = append(os.Environ(), "DPKG_ROOT="+root)
		out, err := cmd.CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%s %s: %v, %s", name, arg, err, out)
		}
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("%s %s: %v", name, arg, err)
		}
	}
}
