package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for something that has to happen.
const patience = 30 * time.Second

// full says that the sizes are the issue's.
var full = os.Getenv("ICOMET_TORTURE") == "full"

func sized[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

var binaries string // a directory

func TestMain(m *testing.M) {
	if args := os.Getenv(helperVariable); args != "" {
		os.Exit(helper(strings.Fields(args)))
	}
	dir, err := os.MkdirTemp("", "icomet-torture-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

var (
	plainBinary = sync.OnceValues(func() (string, error) { return build("plain") })
	racyBinary  = sync.OnceValues(func() (string, error) { return build("race", "-race") })
)

func build(name string, flags ...string) (string, error) {
	path := filepath.Join(binaries, name)
	args := append([]string{"build", "-o", path}, flags...)
	out, err := exec.Command("go", append(args, "icomet/cmd/icomet-server")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// checkedBinary has the race detector when the test has it.
func checkedBinary() (string, error) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				return racyBinary()
			}
		}
	}
	return plainBinary()
}

// logBuffer collects what a process logs while tests read it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// daemon is a server process of ours.
type daemon struct {
	t            testing.TB
	cmd          *exec.Cmd
	log          *logBuffer
	done         chan struct{} // closed when it has ended
	front, admin string
	client       *http.Client
}

// start runs a server on free ports and waits until it listens. env has more
// settings, "FRONT_AUTH=token"; config is its file, "" for none.
func start(t testing.TB, binary func() (string, error), config string, env ...string) *daemon {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, cmd: exec.Command(path), log: new(logBuffer), done: make(chan struct{})}
	if config != "" {
		d.cmd.Args = append(d.cmd.Args, config)
	}
	d.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	d.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GODEBUG=" + os.Getenv("GODEBUG"), "GORACE=halt_on_error=1 atexit_sleep_ms=0",
		"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0",
		"ICOMET_LIMITS_DRAIN_TIMEOUT=200ms", "ICOMET_RUNTIME_EVENT_LOOPS=2"}
	for _, e := range env {
		d.cmd.Env = append(d.cmd.Env, "ICOMET_"+e)
	}
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // its state tells
		close(d.done)
	}()
	t.Cleanup(d.end)
	d.front, d.admin = d.address("front"), d.address("admin")
	return d
}

// end is the last thing of a test: the log has no error.
func (d *daemon) end() {
	d.client.CloseIdleConnections()
	_ = d.cmd.Process.Kill()
	<-d.done
	for _, bad := range []string{"level=ERROR", "DATA RACE", "panic", "stale"} {
		if log := d.log.String(); strings.Contains(log, bad) {
			d.t.Errorf("the log has %q:\n%.3000s", bad, log)
		}
	}
}

var addressOf = map[string]*regexp.Regexp{
	"front": regexp.MustCompile(`msg=listening role=front address=(127\.0\.0\.1:\d+)`),
	"admin": regexp.MustCompile(`msg=listening role=admin address=(127\.0\.0\.1:\d+)`),
}

func (d *daemon) address(role string) (addr string) {
	d.t.Helper()
	checkFor(d.t, patience, func() error {
		if m := addressOf[role].FindStringSubmatch(d.log.String()); m != nil {
			addr = m[1]
			return nil
		}
		select {
		case <-d.done:
			d.t.Fatalf("the server has ended:\n%s", d.log)
		default:
		}
		return fmt.Errorf("no %s address in the log:\n%s", role, d.log)
	})
	return addr
}

// stop sends SIGTERM and wants status 0 within the limit.
func (d *daemon) stop(limit time.Duration) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.done:
	case <-time.After(limit):
		d.t.Fatalf("the server has not ended %v after SIGTERM:\n%s", limit, d.log)
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.t.Fatalf("the server ended with status %d:\n%s", code, d.log)
	}
}

// get asks the admin port.
func (d *daemon) get(path string) (status int, body string, err error) {
	resp, err := d.client.Get("http://" + d.admin + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// push publishes and wants that to work.
func (d *daemon) push(cname, content string) {
	d.t.Helper()
	resp, err := d.client.Post("http://"+d.admin+"/push?cname="+cname, "application/x-www-form-urlencoded",
		strings.NewReader("content="+content))
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
		d.t.Fatalf("push to %s: %d %s", cname, resp.StatusCode, b)
	}
}

// stats is what of GET /stats is looked at.
type stats struct {
	Connections struct{ Front, Admin int }
	Channels    int
	Subscribers int
	Panics      int            `json:"panics_total"`
	Closed      map[string]int `json:"closed_total_by_reason"`
	Refused     map[string]int `json:"refused_total_by_reason"`
	Runtime     struct {
		RSS        int64 `json:"rss_bytes"`
		Heap       int64 `json:"heap_bytes"`
		Goroutines int
	}
}

func (d *daemon) stats() (s stats) {
	d.t.Helper()
	status, body, err := d.get("/stats")
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	if err != nil || status != 200 {
		d.t.Fatalf("/stats: %d %v\n%.3000s", status, err, d.log)
	}
	return s
}

// waitStats waits until f is content.
func (d *daemon) waitStats(limit time.Duration, f func(stats) error) {
	d.t.Helper()
	checkFor(d.t, limit, func() error { return f(d.stats()) })
}

// waitSubscribers waits until there are n of all channels.
func (d *daemon) waitSubscribers(n int) {
	d.t.Helper()
	d.waitStats(patience, func(s stats) error {
		if s.Subscribers != n {
			return fmt.Errorf("%d subscribers, want %d", s.Subscribers, n)
		}
		return nil
	})
}

// descriptors counts the process's open files.
func (d *daemon) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	return len(entries)
}

// rss is the resident set in bytes, from outside.
func (d *daemon) rss() int64 {
	d.t.Helper()
	n, err := d.resident()
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

func (d *daemon) resident() (bytes int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var size, pages int64
	_, err = fmt.Sscan(string(b), &size, &pages)
	return pages * int64(os.Getpagesize()), err
}

// checkFor tries until there is no error, at most for the limit.
func checkFor(t testing.TB, limit time.Duration, f func() error) {
	t.Helper()
	if err := poll(limit, f); err != nil {
		t.Fatalf("after %v: %v", limit, err)
	}
}

func poll(limit time.Duration, f func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// errorsOf runs f n times at once and joins what they say.
func errorsOf(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("%d of %d: %w", i, n, errors.Join(err))
		}
	}
	return nil
}
