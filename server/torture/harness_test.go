package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icomet/server/servertest"
)

// patience is how long a test waits for something that has to happen.
const patience = servertest.Patience

// full says that the sizes are the issue's.
var full = os.Getenv("ICOMET_TORTURE") == "full"

func sized[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

func TestMain(m *testing.M) {
	if args := os.Getenv(helperVariable); args != "" {
		os.Exit(helper(strings.Fields(args)))
	}
	servertest.Main(m)
}

// daemon is a server process of ours.
type daemon struct {
	*servertest.Process
	t            testing.TB
	front, admin string
	client       *http.Client
}

// start runs a server on free ports and waits until it listens. env has more
// settings, "FRONT_AUTH=token"; config is its file, "" for none.
func start(t testing.TB, binary func() (string, error), config string, env ...string) *daemon {
	t.Helper()
	return launch(t, command(t, binary, config, env...))
}

func command(t testing.TB, binary func() (string, error), config string, env ...string) *exec.Cmd {
	t.Helper()
	host := servertest.Loopback(t.TempDir())
	environ := []string{"ICOMET_FRONT_LISTEN=" + host + ":0", "ICOMET_ADMIN_LISTEN=" + host + ":0",
		"ICOMET_LIMITS_DRAIN_TIMEOUT=200ms", "ICOMET_RUNTIME_EVENT_LOOPS=2"}
	for _, e := range env {
		environ = append(environ, "ICOMET_"+e)
	}
	var args []string
	if config != "" {
		args = []string{config}
	}
	return servertest.Command(t, binary, environ, args...)
}

func launch(t testing.TB, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{Process: servertest.Launch(t, cmd), t: t}
	d.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	t.Cleanup(d.end)
	d.front, d.admin = d.Address("front"), d.Address("admin")
	return d
}

// end is the last thing of a test: the log has no error.
func (d *daemon) end() {
	d.client.CloseIdleConnections()
	d.Kill()
	for _, bad := range []string{"level=ERROR", "panic", "stale"} {
		if log := d.Log.String(); strings.Contains(log, bad) {
			d.t.Errorf("the log has %q:\n%.3000s", bad, log)
		}
	}
}

// stop sends SIGTERM and wants status 0 within the limit.
func (d *daemon) stop(limit time.Duration) {
	d.t.Helper()
	d.Send(syscall.SIGTERM)
	d.WaitEnd(limit, 0)
}

// get asks the admin port.
func (d *daemon) get(path string) (status int, body string, err error) {
	return servertest.ReadAnswer(d.client.Get("http://" + d.admin + path))
}

// push publishes and wants that to work.
func (d *daemon) push(cname, content string) {
	d.t.Helper()
	status, body, err := servertest.ReadAnswer(d.client.Post("http://"+d.admin+"/push?cname="+cname,
		"application/x-www-form-urlencoded", strings.NewReader("content="+content)))
	if err != nil || status != 200 {
		d.t.Fatalf("push to %s: %d %s %v", cname, status, body, err)
	}
}

// stats is what of GET /stats is looked at.
type stats struct {
	Connections struct{ Front, Admin int }
	Channels    int
	Subscribers int
	Panics      int                 `json:"panics_total"`
	BytesIn     int64               `json:"bytes_in_total"`
	Closed      map[string]int      `json:"closed_total_by_reason"`
	Refused     map[string]int      `json:"refused_total_by_reason"`
	TLS         map[string]struct { // by role
		InFlight   int            `json:"handshakes_in_flight"`
		Waiting    int            `json:"handshakes_waiting"`
		Handshakes map[string]int `json:"handshakes_total_by_result"`
		Resumed    int            `json:"resumed_total"`
	}
	Runtime struct {
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
		d.t.Fatalf("/stats: %d %v\n%.3000s", status, err, d.Log)
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
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Cmd.Process.Pid))
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
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.Cmd.Process.Pid))
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
	servertest.CheckFor(t, limit, f)
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
