package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit is how long a process may take for anything that is quick. It is
// generous, for machines that are busy with other tests.
const startLimit = 30 * time.Second

// binaryDir is where the server is built, once, by the first test that wants it.
var binaryDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "icomet-server-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryDir = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

var buildBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "icomet-server")
	args := []string{"build", "-o", path}
	if raceEnabled() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// raceEnabled says whether this test runs with the race detector; then the
// server is built with it too.
func raceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// command prepares the server's binary. Of the environment only what the test
// gives reaches its configuration.
func command(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "GORACE=halt_on_error=1")
	cmd.Env = append(cmd.Env, environ...)
	return cmd
}

// result is what a process that has ended leaves.
type result struct {
	status         int
	stdout, stderr string
}

// runToEnd runs the binary as a command that ends by itself.
func runToEnd(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	cmd := command(t, environ, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A server that started by mistake must not hang the tests.
	timer := time.AfterFunc(startLimit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// daemon is a server that runs.
type daemon struct {
	*exec.Cmd
	log  *safeBuffer   // its stderr
	done chan struct{} // closed when it has ended
}

// start runs the binary and waits until both ports listen.
func start(t *testing.T, environ []string, args ...string) *daemon {
	t.Helper()
	d := launch(t, command(t, environ, args...))
	d.waitForLog(t, "role=front", 1)
	d.waitForLog(t, "role=admin", 1)
	return d
}

// launch starts the command and sees to its end with the test's.
func launch(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{Cmd: cmd, log: &safeBuffer{}, done: make(chan struct{})}
	cmd.Stderr = d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-d.done
		if strings.Contains(d.log.String(), "DATA RACE") {
			t.Errorf("the server has a data race:\n%s", d.log)
		}
	})
	return d
}

// send signals the process itself, not through a pidfile.
func (d *daemon) send(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// waitForLog waits until the log has the text this many times.
func (d *daemon) waitForLog(t *testing.T, text string, times int) {
	t.Helper()
	checkFor(t, startLimit, func() error {
		log := d.log.String()
		if strings.Count(log, text) >= times {
			return nil
		}
		select {
		case <-d.done:
			t.Fatalf("ended with status %d before %q was in the log:\n%s", d.ProcessState.ExitCode(), text, log)
		default:
		}
		return fmt.Errorf("%q is not %d times in the log:\n%s", text, times, log)
	})
}

// waitForEnd waits until the process has ended and wants its status.
func (d *daemon) waitForEnd(t *testing.T, status int) {
	t.Helper()
	select {
	case <-d.done:
	case <-time.After(startLimit):
		t.Fatalf("has not ended:\n%s", d.log)
	}
	if got := d.ProcessState.ExitCode(); got != status {
		t.Fatalf("ended with %v, want status %d:\n%s", d.ProcessState, status, d.log)
	}
}

// address finds where the role listens in the log.
func (d *daemon) address(t *testing.T, role string) string {
	t.Helper()
	return addressIn(t, d.log.String(), role)
}

func addressIn(t *testing.T, log, role string) string {
	t.Helper()
	m := regexp.MustCompile(`msg=listening role=` + role + ` address=(127\.0\.0\.1:[1-9][0-9]*)`).FindStringSubmatch(log)
	if m == nil {
		t.Fatalf("no line of the %s listener:\n%s", role, log)
	}
	return m[1]
}

// checkAnswers wants an answer from the front port.
func (d *daemon) checkAnswers(t *testing.T) {
	t.Helper()
	client := http.Client{Timeout: startLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + d.address(t, "front") + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("/ping: %s, %v", response.Status, err)
	}
}

// checkFor tries until there is no error, at most for the limit.
func checkFor(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

// safeBuffer can be read while a process writes to it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// anyPorts lets the system pick both ports.
const anyPorts = "front.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n"

// writeConfig writes a file that listens on any ports, plus the given lines.
func writeConfig(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	rewriteConfig(t, path, lines...)
	return path
}

func rewriteConfig(t *testing.T, path string, lines ...string) {
	t.Helper()
	text := anyPorts + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVersion(t *testing.T) {
	r := runToEnd(t, nil, "-version")
	want := regexp.MustCompile(`^icomet-server [0-9]\S* ` + regexp.QuoteMeta(runtime.Version()) + `\n$`)
	if r.status != 0 || r.stderr != "" || !want.MatchString(r.stdout) {
		t.Errorf("got %+v, want %s", r, want)
	}
}

func TestHelp(t *testing.T) {
	r := runToEnd(t, nil, "-h")
	if r.status != 0 || r.stderr != "" || r.stdout != usage {
		t.Errorf("got %+v", r)
	}
	for _, want := range []string{"-t ", "-s ", "-version", "-h ", "stop", "restart", "reload", "reopen", "Examples:"} {
		if !strings.Contains(usage, want) {
			t.Errorf("the help does not say %q", want)
		}
	}
}

func TestWrongUsage(t *testing.T) {
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
	good := writeConfig(t)
	bad := writeConfig(t, "front.channel_buffer_size = 0")
	missing := filepath.Join(t.TempDir(), "missing.toml")
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		want    result
	}{
		{"no file", nil, []string{"-t"}, result{0, "configuration ok\n", ""}},
		{"good file", nil, []string{"-t", good}, result{0, "configuration ok\n", ""}},
		{"bad file", nil, []string{"-t", bad}, result{
			1, "", "icomet-server: " + bad + ":3: front.channel_buffer_size = 0: must be 1 to 100000\n",
		}},
		{"missing file", nil, []string{"-t", missing}, result{
			1, "", "icomet-server: " + missing + ": no such file or directory\n",
		}},
		{"bad variable", []string{"ICOMET_FRONT_AUTH=yes"}, []string{"-t", good}, result{
			1, "", "icomet-server: environment: ICOMET_FRONT_AUTH = \"yes\": must be one of none, token\n",
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
	bad := writeConfig(t, "nonsense = 1")
	r := runToEnd(t, nil, bad)
	want := "icomet-server: " + bad + ":3: nonsense = 1: unknown key\n"
	if r.status != 1 || r.stderr != want {
		t.Errorf("got %+v, want %s", r, want)
	}
}

func TestPortInUse(t *testing.T) {
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

// TestEnvironmentOverridesFile gives the file a port that cannot be used.
func TestEnvironmentOverridesFile(t *testing.T) {
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
	d.waitForLog(t, `level=WARN msg="unknown environment variable ICOMET_FRONT_AUHT, did you mean ICOMET_FRONT_AUTH?"`, 1)
}

func TestWithoutFile(t *testing.T) {
	d := start(t, []string{"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0"})
	d.checkAnswers(t)
	d.send(t, syscall.SIGINT)
	d.waitForEnd(t, 0)
}

// TestDescriptorLimit starts below a soft limit that is lower than the hard
// one, and with more connections than fit below either.
func TestDescriptorLimit(t *testing.T) {
	path, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, nil)
	script := exec.Command("sh", "-c", `ulimit -Hn 900 && ulimit -Sn 300 && exec "$@"`, "sh",
		path, writeConfig(t, "limits.connections = 869"))
	script.Env = cmd.Env
	d := launch(t, script)
	d.waitForLog(t, `the file descriptor limit is low for limits.connections`, 1)
	d.waitForLog(t, `connections=869 limit=900 fit=868`, 1)
	d.waitForLog(t, `descriptors=900`, 1)
}
