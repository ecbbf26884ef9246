package packaging

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"icomet/server/servertest"
)

// shrunk is what the virtual machine does without, because its disk is memory.
var shrunk = []string{"./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./var/cache/apt/*", "./var/lib/apt/lists/*", "./dev/*"}

// bootVM boots a copy of a Debian in a virtual machine: there systemd is the first process
// of a kernel of its own, and nothing of the machine that tests is seen. The processor is
// emulated, so that all takes longer.
func bootVM(t *testing.T, debian string) *system {
	t.Helper()
	dir := t.TempDir()
	archive := []string{"-C", debian, "-cf", filepath.Join(dir, "root.tar")}
	for _, pattern := range shrunk {
		archive = append(archive, "--exclude="+pattern)
	}
	run(t, "tar", append(archive, ".")...)

	socket := filepath.Join(dir, "ttyS2")
	cmd := exec.CommandContext(t.Context(), "../bench/million/run-in-vm", "--mem", "2G", "--cpus", "1", "--timeout", "1800",
		"--append", "systemd.getty_auto=no systemd.show_status=no", "--first", "--serial", socket, "--",
		"testdata/vm-boot", "testdata/vm-shell", "testdata/vm-shell.service", filepath.Join(dir, "root.tar"))
	var console servertest.Output
	cmd.Stdout, cmd.Stderr = &console, &console
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends qemu
	cmd.WaitDelay = servertest.Patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was told to end
	s := &system{t: t, patience: 5 * servertest.Patience, watchdog: "20"}
	var line net.Conn
	s.check(func() (err error) {
		line, err = net.Dial("unix", socket)
		return err
	})
	t.Cleanup(func() { _ = line.Close() })
	if err := line.SetReadDeadline(time.Now().Add(s.patience)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(line)
	if got, err := answers.ReadString('\n'); err != nil || got != "ready\n" {
		t.Fatalf("the machine says %q, %v\n%s", got, err, console.String())
	}
	s.try = func(args ...string) (string, error) {
		if err := line.SetDeadline(time.Now().Add(s.patience)); err != nil {
			return "", err
		}
		if _, err := fmt.Fprintln(line, base64.StdEncoding.EncodeToString([]byte(quoted(args)))); err != nil {
			return console.String(), err
		}
		answer, err := answers.ReadString('\n')
		if err != nil {
			return console.String(), err
		}
		return decoded(answer)
	}
	return s
}

// quoted is a command line for a shell.
func quoted(args []string) string {
	var words []string
	for _, arg := range args {
		words = append(words, "'"+strings.ReplaceAll(arg, "'", `'\''`)+"'")
	}
	return strings.Join(words, " ")
}

// decoded is what an answer of vm-shell says.
func decoded(answer string) (string, error) {
	text, status, _ := strings.Cut(strings.TrimSuffix(answer, "\n"), " ")
	out, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return answer, err
	}
	code, err := strconv.Atoi(status)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit status %d", code)
	}
	return strings.TrimSpace(string(out)), err
}

// TestVMAnswers: what the machine answers is told apart from what went wrong.
func TestVMAnswers(t *testing.T) {
	t.Parallel()
	if got := quoted([]string{"echo", "it's", `"$HOME"`}); got != `'echo' 'it'\''s' '"$HOME"'` {
		t.Error(got)
	}
	cmd := exec.Command("sh", "-c", quoted([]string{"printf", "%s|", "it's", `"$HOME"`, ""}))
	if out, err := cmd.Output(); err != nil || string(out) != `it's|"$HOME"||` {
		t.Errorf("%s, %v", out, err)
	}
	for answer, want := range map[string]string{"aGkK 0\n": "hi <nil>", "aGkK 3\n": "hi exit status 3", " 0\n": " <nil>"} {
		if out, err := decoded(answer); fmt.Sprint(out, " ", err) != want {
			t.Errorf("%q: %q, %v", answer, out, err)
		}
	}
	for _, broken := range []string{"?? 0\n", "aGkK\n", "aGkK x\n"} {
		if out, err := decoded(broken); err == nil {
			t.Errorf("%q: %q", broken, out)
		}
	}
}

// debian makes a clean Debian with the packages in /root, of which the one in /root/next has
// a higher version.
func debian(t *testing.T, dist string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	run(t, "debootstrap", "--variant=minbase", "--include=systemd,curl,logrotate,rpm", "bookworm", root)
	provide(t, dist, root)
	return root
}

func provide(t *testing.T, dist, root string) {
	t.Helper()
	run(t, "cp", filepath.Join(dist, debName), filepath.Join(dist, rpmName), filepath.Join(root, "root"))
	next := filepath.Join(t.TempDir(), "next")
	const script = `dpkg-deb -R "$0" "$1"
		sed -i 's/^Version: .*/&+next/' "$1/DEBIAN/control"
		mkdir "$2"
		dpkg-deb --root-owner-group -Zgzip -z1 -b "$1" "$2/icomet.deb"`
	run(t, "sh", "-ec", script, filepath.Join(dist, debName), next, filepath.Join(root, "root/next"))
}

// testVM does in a virtual machine what testSystemd does, with a real first process.
func testVM(t *testing.T, root string) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Fatal(err)
	}
	s := bootVM(t, root)
	if got := s.run("cat", "/proc/1/comm"); got != "systemd" {
		t.Errorf("the first process is %s", got)
	}
	if got := s.run("systemd-detect-virt"); got != "qemu" {
		t.Errorf("systemd runs in %s", got)
	}
	s.waitRunning()
	s.administrate()
	if _, err := s.try("systemctl", "poweroff", "--force", "--force"); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the machine is still there: %v", err)
	}
}
