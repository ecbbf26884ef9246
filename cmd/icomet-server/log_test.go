package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"icomet/server/servertest"
)

// logged runs a server that logs to a file. The test chooses the ports, since it may not
// be able to read the log.
func logged(t *testing.T, path string, lines ...string) (d *daemon, front, admin string) {
	t.Helper()
	front, admin = ownAddress(t), ownAddress(t)
	file := filepath.Join(t.TempDir(), "config.toml")
	text := fmt.Sprintf("front.listen = %q\nadmin.listen = %q\nlogger.output = %q\n%s\n", front, admin, path, strings.Join(lines, "\n"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d = launch(t, command(t, nil, file))
	checkFor(t, startLimit, func() error {
		_, err := logFailures(admin)
		return err
	})
	return d, front, admin
}

// logFailures is the count in /stats.
func logFailures(admin string) (uint64, error) {
	_, body, err := servertest.Get("http://" + admin + "/stats")
	if err != nil {
		return 0, err
	}
	var stats struct {
		Failures *uint64 `json:"log_failures_total"`
	}
	if err := json.Unmarshal([]byte(body), &stats); err != nil {
		return 0, err
	}
	if stats.Failures == nil {
		return 0, fmt.Errorf("log_failures_total is missing")
	}
	return *stats.Failures, nil
}

func wantFailures(t *testing.T, admin string, least uint64) uint64 {
	t.Helper()
	var n uint64
	checkFor(t, startLimit, func() (err error) {
		if n, err = logFailures(admin); err == nil && n < least {
			err = fmt.Errorf("%d log failures are counted, want %d", n, least)
		}
		return err
	})
	return n
}

// wantInFile waits until the file matches.
func wantInFile(t *testing.T, path, pattern string) string {
	t.Helper()
	var data []byte
	checkFor(t, startLimit, func() (err error) {
		if data, err = os.ReadFile(path); err == nil && !regexp.MustCompile(pattern).Match(data) {
			err = fmt.Errorf("no %s in:\n%s", pattern, data)
		}
		return err
	})
	return string(data)
}

// TestLogDiskFull: with no room for the log, the server starts, serves and counts the
// lost lines. It logs their number when there is room again.
func TestLogDiskFull(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.Symlink("/dev/full", path); err != nil { // every write fails with ENOSPC
			t.Fatal(err)
		}
		d, front, admin := logged(t, path, "logger.format = \""+format+"\"")
		n := wantFailures(t, admin, 3) // its first lines
		d.Send(unix.SIGHUP)
		n = wantFailures(t, admin, n+1)
		if answer := fetch(t, "http://"+front+"/ping?cb="); !strings.Contains(answer, "ping") {
			t.Errorf("/ping: %q", answer)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		d.Send(unix.SIGUSR1)
		note := fmt.Sprintf(`msg="log lines could not be written" lines=%d\n`, n)
		if format == "json" {
			note = fmt.Sprintf(`"msg":"log lines could not be written","lines":%d}\n`, n)
		}
		wantInFile(t, path, note+".*log reopened")
		if again := wantFailures(t, admin, n); again != n {
			t.Errorf("%d failures are counted after %d", again, n)
		}
		d.Send(unix.SIGTERM)
		d.WaitEnd(startLimit, 0)
	}
}

// TestLogDirectoryVanishes: the server continues, counts the lines that it cannot write,
// reports that it cannot reopen the log, and logs again when the directory exists again.
func TestLogDirectoryVanishes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	d, front, admin := logged(t, path)
	wantInFile(t, path, "role=admin")
	if n := wantFailures(t, admin, 0); n != 0 {
		t.Errorf("%d failures are counted before there are any", n)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	d.Send(unix.SIGHUP)
	n := wantFailures(t, admin, 1)
	d.Send(unix.SIGUSR1)
	wantFailures(t, admin, n+1)
	if answer := fetch(t, "http://"+front+"/ping?cb="); !strings.Contains(answer, "ping") {
		t.Errorf("/ping: %q", answer)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// The server looks again once a second, with the next line.
	checkFor(t, startLimit, func() error {
		d.Send(unix.SIGHUP)
		data, err := os.ReadFile(path)
		if err == nil && !bytes.Contains(data, []byte("could not be written")) {
			err = fmt.Errorf("the new log has\n%s", data)
		}
		return err
	})
	d.Send(unix.SIGTERM)
	d.WaitEnd(startLimit, 0)
	wantInFile(t, path, "(?s)configuration reloaded.*msg=stopped")
}

// TestLogPartOfALine: a line that was cut by a full disk does not run into the next.
func TestLogPartOfALine(t *testing.T) {
	w := &halfFull{room: 10}
	o := &logOutput{writer: w, format: "text"}
	for _, line := range []string{"0123456\n", "second\n", "third\n"} {
		if n, err := o.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("Write: %d %v", n, err)
		}
	}
	w.room = 1000
	_, _ = o.Write([]byte("fourth\n"))
	if got := regexp.MustCompile(`time=\S+`).ReplaceAllString(w.String(), "T"); got !=
		"0123456\nse\nT level=WARN msg=\"log lines could not be written\" lines=2\nfourth\n" {
		t.Errorf("got %q", got)
	}
	if n := o.failed.Load(); n != 2 {
		t.Errorf("%d failures", n)
	}
}

// halfFull accepts what there is room for.
type halfFull struct {
	bytes.Buffer
	room int
}

func (h *halfFull) Write(p []byte) (int, error) {
	n := min(len(p), h.room)
	h.room -= n
	h.Buffer.Write(p[:n])
	if n < len(p) {
		return n, unix.ENOSPC
	}
	return n, nil
}
