package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"icomet/internal/version"
	"icomet/server/servertest"
)

// system is a Debian with systemd as its first process.
type system struct {
	t        *testing.T
	try      func(args ...string) (string, error) // runs a command in it
	patience time.Duration                        // how long something may take
	watchdog string                               // seconds within which a server that hangs is found
}

// The packages for the machine that tests.
var (
	debName = "icomet_" + version.Release + "_" + runtime.GOARCH + ".deb"
	rpmName = "icomet-" + version.Release + "-1." + machine() + ".rpm"
)

// boot starts a Debian in namespaces of its own, the network's too: its ports are nobody
// else's.
func boot(t *testing.T, root string) *system {
	t.Helper()
	here, err := filepath.Abs("testdata/boot")
	if err != nil {
		t.Fatal(err)
	}
	// --kill-child: it ends with unshare, whatever happens.
	p := servertest.Launch(t, exec.Command("unshare", "--mount", "--pid", "--uts", "--cgroup", "--net", "--fork", "--kill-child", here, root))
	s := &system{t: t, patience: servertest.Patience, watchdog: "2"}
	s.check(func() error {
		child := fmt.Sprintf("/proc/%d/task/%[1]d/children", p.Process.Pid)
		b, err := os.ReadFile(child)
		if err != nil {
			return err
		}
		pid := strings.TrimSpace(string(b)) // of its systemd, seen from outside
		if _, err := strconv.Atoi(pid); err != nil {
			return fmt.Errorf("%w; %s", err, p.Log)
		}
		s.try = func(args ...string) (string, error) {
			enter := []string{"--target", pid, "--mount", "--pid", "--uts", "--cgroup", "--net", "--root", "--wd", "--"}
			out, err := exec.Command("nsenter", append(enter, args...)...).CombinedOutput()
			return strings.TrimSpace(string(out)), err
		}
		return nil
	})
	s.waitRunning()
	return s
}

// waitRunning waits until all has started.
func (s *system) waitRunning() {
	s.t.Helper()
	s.check(func() error {
		if out, err := s.try("systemctl", "is-system-running"); out != "running" {
			failed, _ := s.try("systemctl", "--failed")
			return fmt.Errorf("the system is %s %v; %s", out, err, failed)
		}
		return nil
	})
}

func (s *system) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("%q: %v\n%s\n%s", args, err, out, s.journal())
	}
	return out
}

func (s *system) journal() string {
	out, _ := s.try("journalctl", "--no-pager", "-n", "50", "-u", "icomet")
	return out
}

func (s *system) check(try func() error) {
	s.t.Helper()
	servertest.CheckFor(s.t, s.patience, try)
}

// get is what systemd says of the service.
func (s *system) get(property string) string {
	s.t.Helper()
	return s.run("systemctl", "show", "icomet", "--value", "-p", property)
}

// wait waits until the property fits.
func (s *system) wait(property, pattern string) {
	s.t.Helper()
	s.check(func() error {
		if got := s.get(property); !regexp.MustCompile(pattern).MatchString(got) {
			return fmt.Errorf("%s is %q, want %s\n%s", property, got, pattern, s.journal())
		}
		return nil
	})
}

// administrate installs the package into a running Debian, and does with the service what
// administrators do.
func (s *system) administrate() {
	s.t.Helper()
	// Installed is started: READY=1 has come, so it answers.
	s.install("in a Debian")
	if got := s.get("ActiveState"); got != "active" {
		s.t.Fatalf("after the installation it is %s\n%s", got, s.journal())
	}
	if got := s.run("curl", "-sS", "http://127.0.0.1:8000/push?cname=a&content=hi"); got != `{"type":"ok"}` {
		s.t.Errorf("got %s", got)
	}
	if got := s.run("curl", "-sS", "http://127.0.0.1:8100/sub?cname=a&seq=1"); got != `[{"type":"data","cname":"a","seq":1,"content":"hi"}]` {
		s.t.Errorf("got %s", got)
	}
	s.wait("StatusText", "^Serving: [0-9]+ connections, 1 channels, 0 subscribers$")
	s.testHardening()
	s.testSettings()
	s.testReload()
	s.testFailures()

	// An upgrade restarts it, and the snapshot carries the channels over.
	s.run("systemctl", "restart", "icomet")
	s.run("curl", "-sSf", "-H", "Authorization: Bearer secret-of-the-test", "http://127.0.0.1:8000/push?cname=kept&content=hi")
	old := s.get("MainPID")
	s.run("dpkg", "-i", "/root/next/icomet.deb")
	if got := s.run("dpkg-query", "-W", "-f", "${Version}", "icomet"); got != version.Release+"+next" {
		s.t.Errorf("after an upgrade version %s is installed", got)
	}
	if got := s.get("MainPID"); got == old || s.get("ActiveState") != "active" {
		s.t.Errorf("after an upgrade the process is %s, it was %s\n%s", got, old, s.journal())
	}
	if got := s.run("curl", "-sS", "http://127.0.0.1/sub?cname=kept&seq=1"); !strings.Contains(got, `"content":"hi"`) {
		s.t.Errorf("after an upgrade: %s\n%s", got, s.journal())
	}

	s.run("dpkg", "-r", "icomet")
	if out, err := s.try("systemctl", "is-active", "icomet"); err == nil {
		s.t.Errorf("after the removal it is %s", out)
	}
	s.run("rm", "-r", "/etc/icomet/admin.keys", "/etc/systemd/system/icomet.service.d") // the administrator's own
	s.run("dpkg", "-P", "icomet")
	if out, _ := s.try("find", "/etc", "/var", "/usr", "-name", "*icomet*", "-not", "-path", "/var/log/journal/*"); out != "" {
		s.t.Errorf("after the purge there is\n%s", out)
	}
	s.testRPM()
}

// testHardening asks systemd about the service that runs: 0 is the best, 10 the worst.
func (s *system) testHardening() {
	s.t.Helper()
	s.run("systemd-analyze", "security", "--no-pager", "--threshold=25", "icomet.service")
}

// machine is this machine, as rpm names it.
func machine() string {
	return map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
}

// install runs the commands of docs/start.md that are marked as run in such a system.
func (s *system) install(mark string) {
	s.t.Helper()
	_, block, found := strings.Cut(read(s.t, "../docs/start.md"), "```sh norun: make package-test runs it "+mark+"\n")
	commands, _, closed := strings.Cut(block, "```\n")
	if !found || !closed {
		s.t.Fatalf("docs/start.md has no commands that are run %s", mark)
	}
	commands = strings.NewReplacer("amd64", runtime.GOARCH, "x86_64", machine()).Replace(commands)
	s.run("sh", "-ec", "cd /root\n"+commands)
}

// testRPM does the same with the .rpm, by rpm itself on the same systemd: no Fedora can be
// had here.
func (s *system) testRPM() {
	s.t.Helper()
	s.install("in a Debian with rpm")
	if got := s.get("ActiveState"); got != "active" {
		s.t.Fatalf("after the installation of the .rpm it is %s\n%s", got, s.journal())
	}
	if got := s.run("curl", "-sS", "http://127.0.0.1:8000/push?cname=a&content=hi"); got != `{"type":"ok"}` {
		s.t.Errorf("got %s", got)
	}
	if got := s.run("curl", "-sS", "http://127.0.0.1:8100/sub?cname=a&seq=1"); !strings.Contains(got, `"content":"hi"`) {
		s.t.Errorf("got %s", got)
	}
	s.run("rpm", "-V", "icomet") // the files are what the package says

	// An upgrade restarts it, and keeps what the administrator wrote.
	s.run("sh", "-c", `echo "# mine" >>/etc/icomet/config.toml`)
	old := s.get("MainPID")
	s.run("rpm", "-U", "--replacepkgs", "/root/"+rpmName)
	if got := s.get("MainPID"); got == old || s.get("ActiveState") != "active" {
		s.t.Errorf("after an upgrade the process is %s, it was %s\n%s", got, old, s.journal())
	}
	s.run("grep", "-qx", "# mine", "/etc/icomet/config.toml")

	s.run("rpm", "-e", "icomet")
	if out, err := s.try("systemctl", "is-active", "icomet"); err == nil {
		s.t.Errorf("after the removal it is %s", out)
	}
	s.run("grep", "-qx", "# mine", "/etc/icomet/config.toml.rpmsave")
	s.run("sh", "-c", "! ls /usr/bin/icomet* /usr/lib/systemd/system/icomet.service")
}

// testSettings: a port below 1024, a secret of root's, a snapshot and a log that rotates.
func (s *system) testSettings() {
	s.t.Helper()
	write := func(path, text, mode string) {
		s.t.Helper()
		s.run("sh", "-ec", `mkdir -p "$(dirname "$0")"; printf %s "$1" >"$0"; chmod "$2" "$0"`, path, text, mode)
	}
	write("/etc/icomet/admin.keys", "secret-of-the-test\n", "600")
	write("/etc/systemd/system/icomet.service.d/test.conf", "[Service]\nLoadCredential=admin.keys:/etc/icomet/admin.keys\nWatchdogSec="+s.watchdog+"\n", "644")
	// The channel lives longer than the upgrade takes in a slow machine.
	write("/etc/icomet/config.toml", `front.listen = "0.0.0.0:80"
front.channel_timeout = 3600
admin.keys_file = "/run/credentials/icomet.service/admin.keys"
engine.snapshot = "/var/lib/icomet/channels"
logger.output = "/var/log/icomet/icomet.log"
`, "644")
	s.run("systemctl", "daemon-reload")
	s.run("systemctl", "restart", "icomet")
	if got := s.run("curl", "-sS", "http://127.0.0.1/ping"); !strings.Contains(got, "ping") {
		s.t.Errorf("port 80: %s", got)
	}
	if got := s.run("curl", "-sS", "http://127.0.0.1:8000/push?cname=a&content=x"); !strings.Contains(got, "key") {
		s.t.Errorf("without the key: %s", got)
	}
	s.run("curl", "-sSf", "-H", "Authorization: Bearer secret-of-the-test", "http://127.0.0.1:8000/push?cname=a&content=x")

	s.run("logrotate", "--force", "/etc/logrotate.d/icomet")
	s.check(func() error {
		out, err := s.try("grep", "-c", "log reopened", "/var/log/icomet/icomet.log")
		if err != nil {
			return fmt.Errorf("%s %w", out, err)
		}
		return nil
	})
	s.run("grep", "-q", "msg=starting", "/var/log/icomet/icomet.log.1")
}

func (s *system) testReload() {
	s.t.Helper()
	pid := s.get("MainPID")
	s.run("systemctl", "reload", "icomet")
	s.check(func() error {
		out, err := s.try("grep", "configuration reloaded", "/var/log/icomet/icomet.log")
		if err != nil {
			return fmt.Errorf("%s %w", out, err)
		}
		return nil
	})
	s.run("sh", "-c", `echo "front.auth = 1" >>/etc/icomet/config.toml`)
	s.run("systemctl", "reload", "icomet")
	s.wait("StatusText", "the last reload changed nothing: /etc/icomet/config.toml:6: front.auth")
	s.run("sed", "-i", "/front.auth/d", "/etc/icomet/config.toml")
	s.run("systemctl", "reload", "icomet")
	s.wait("StatusText", "subscribers$")
	if got := s.get("MainPID"); got != pid || s.get("ActiveState") != "active" {
		s.t.Errorf("after reloads the process is %s, it was %s", got, pid)
	}
}

// testFailures: one that is killed, and one that hangs, is started again.
func (s *system) testFailures() {
	s.t.Helper()
	for _, signal := range []string{"KILL", "STOP"} {
		pid := s.get("MainPID")
		s.run("systemctl", "kill", "--signal="+signal, "icomet")
		s.check(func() error {
			if got := s.get("MainPID"); got == pid || got == "0" {
				return fmt.Errorf("after signal %s the process is %s, it was %s\n%s", signal, got, pid, s.journal())
			}
			return nil
		})
		s.wait("ActiveState", "^active$")
		s.wait("StatusText", "^Serving")
	}
}
