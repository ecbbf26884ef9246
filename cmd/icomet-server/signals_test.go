package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"icomet/server/config"
	"icomet/server/servertest"
)

// subscribe opens streams, which keep a drain busy for its whole duration.
func (d *daemon) subscribe(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		c, err := net.Dial("tcp", d.Address("front"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "GET /stream?cname=c%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t, `limits.drain_timeout = "1h"`)
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		d := start(t, nil, config)
		d.subscribe(t, 20)
		d.Send(syscall.SIGTERM)
		d.WaitLog(`msg="draining, a second signal exits at once" signal=terminated`, 1)
		d.Send(second)
		d.WaitEnd(startLimit, 1)
		want := `level=WARN msg="second signal, exiting at once" signal=` + second.String()
		if !strings.Contains(d.Log.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, d.Log)
		}
		checkNoPidfile(t, pidfile)
	}
}

func TestDrainEndsWithStatusZero(t *testing.T) {
	t.Parallel()
	d := start(t, nil, writeConfig(t, `limits.drain_timeout = "500ms"`))
	d.subscribe(t, 5)
	d.Send(syscall.SIGTERM)
	d.WaitEnd(startLimit, 0)
}

func TestReload(t *testing.T) {
	t.Parallel()
	config, _ := withPidfile(t)
	d := start(t, nil, config)
	pidfileLine := strings.Split(readFile(t, config), "\n")[2]
	reload := func(want string, lines ...string) {
		t.Helper()
		rewriteConfig(t, config, append(lines, pidfileLine)...)
		before := strings.Count(d.Log.String(), want)
		if r := runToEnd(t, nil, "-s", "reload", config); r != (result{}) {
			t.Fatalf("got %+v", r)
		}
		d.WaitLog(want, before+1)
	}
	reloaded := `msg="configuration reloaded" config=` + config

	// The level changes at once: from now on signals are logged.
	reload(reloaded, `logger.level = "debug"`)
	if strings.Contains(d.Log.String(), "signal received") {
		t.Errorf("a debug line at level info:\n%s", d.Log)
	}
	reload(`level=DEBUG msg="signal received" signal=hangup`, `logger.level = "debug"`)
	if strings.Contains(d.Log.String(), "need a restart") {
		t.Errorf("a restart for the level:\n%s", d.Log)
	}

	// A key that needs a restart is named at every reload until it has its old value
	// again.
	needs := `level=WARN msg="changed keys need a restart" keys="logger.format, runtime.event_loops"`
	reload(needs, `logger.format = "json"`, `runtime.event_loops = 1`)
	reload(needs, `logger.format = "json"`, `runtime.event_loops = 1`)
	d.WaitLog(reloaded, 4)
	reload(reloaded)
	if n := strings.Count(d.Log.String(), "need a restart"); n != 2 {
		t.Errorf("%d lines about a restart, want 2:\n%s", n, d.Log)
	}
	d.checkAnswers(t)
}

func TestReloadOfBadFileKeepsTheOld(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, `logger.level = "debug"`)
	d := start(t, nil, config)
	rewriteConfig(t, config, `logger.level = "error"`, `front.auth = "yes"`)
	d.Send(syscall.SIGHUP)
	d.WaitLog(`level=ERROR msg="the configuration is not reloaded, the old one stays"`, 1)
	d.WaitLog(config+`:4: front.auth = \"yes\": must be one of none, token`, 1)
	// The level has not changed.
	d.Send(syscall.SIGHUP)
	d.WaitLog(`level=DEBUG msg="signal received"`, 2)
	if strings.Contains(d.Log.String(), "configuration reloaded") {
		t.Errorf("it says reloaded:\n%s", d.Log)
	}
	d.checkAnswers(t)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// waitForFile waits until the file has the text.
func waitForFile(t *testing.T, path, text string) {
	t.Helper()
	checkFor(t, startLimit, func() error {
		content, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(content), text) {
			err = fmt.Errorf("%q is not in %s:\n%s", text, path, content)
		}
		return err
	})
}

func TestReopen(t *testing.T) {
	t.Parallel()
	logs := t.TempDir()
	file, rotated := filepath.Join(logs, "icomet.log"), filepath.Join(logs, "icomet.log.1")
	if err := os.WriteFile(file, []byte("from before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, _ := withPidfile(t, fmt.Sprintf("logger.output = %q", file))
	d := launch(t, command(t, nil, config))
	waitForFile(t, file, "role=admin")
	if !strings.HasPrefix(readFile(t, file), "from before\n") {
		t.Errorf("the old log is overwritten:\n%s", readFile(t, file))
	}

	if err := os.Rename(file, rotated); err != nil {
		t.Fatal(err)
	}
	if r := runToEnd(t, nil, "-s", "reopen", config); r != (result{}) {
		t.Fatalf("got %+v", r)
	}
	waitForFile(t, file, `msg="log reopened"`)
	if log := readFile(t, rotated); strings.Contains(log, "log reopened") {
		t.Errorf("the moved file is still written:\n%s", log)
	}

	// If the file cannot be opened, the old one stays.
	if err := os.Rename(file, rotated); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	d.Send(syscall.SIGUSR1)
	waitForFile(t, rotated, `level=ERROR msg="the log is not reopened, the old file stays"`)
	waitForFile(t, rotated, "is a directory")
	d.Send(syscall.SIGTERM)
	d.WaitEnd(startLimit, 0)
	waitForFile(t, rotated, `msg="draining, a second signal exits at once"`)
	if d.Log.String() != "" {
		t.Errorf("on stderr: %s", d.Log)
	}
}

func TestLogThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "missing", "icomet.log")
	r := runToEnd(t, []string{"ICOMET_LOGGER_OUTPUT=" + file}, writeConfig(t))
	want := "icomet-server: logger.output: open " + file + ": no such file or directory\n"
	if r.status != 1 || r.stderr != want {
		t.Errorf("got %+v, want %s", r, want)
	}
}

func TestLogFormatAndLevel(t *testing.T) {
	file := filepath.Join(t.TempDir(), "icomet.log")
	for _, c := range []struct {
		format, level string
		want          string
	}{
		{"text", "info", `level=WARN msg=loud n=1` + "\n"},
		{"json", "warn", `"level":"WARN","msg":"loud","n":1}` + "\n"},
	} {
		log, err := openLog(config.Logger{Level: c.level, Output: file, Format: c.format})
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("quiet")
		log.Warn("loud", slog.Int("n", 1))
		content := readFile(t, file)
		if !strings.HasSuffix(content, c.want) || strings.Contains(content, "quiet") {
			t.Errorf("%s: got %s, want %s", c.format, content, c.want)
		}
		log.output.file.Close()
	}
	for _, level := range []string{"debug", "info", "warn", "error"} {
		l := &logger{}
		l.setLevel(level)
		if got := strings.ToLower(l.level.Level().String()); got != level {
			t.Errorf("level %s became %s", level, got)
		}
	}
}

// TestLogToClosedPipe closes the reading end of stdout: neither SIGPIPE nor the failing
// writes may end the server.
func TestLogToClosedPipe(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, nil, writeConfig(t, `logger.output = "stdout"`))
	cmd.Stdout = writer
	launched := launch(t, cmd)
	writer.Close()
	var log servertest.Output
	chunk := make([]byte, 4096)
	for !strings.Contains(log.String(), "role=admin") || !strings.HasSuffix(log.String(), "\n") {
		n, err := reader.Read(chunk)
		if err != nil {
			t.Fatal(err)
		}
		log.Write(chunk[:n])
	}
	reader.Close()
	launched.Send(syscall.SIGUSR1) // logs a line
	launched.Send(syscall.SIGTERM) // logs more, and ends
	launched.WaitEnd(startLimit, 0)
}

func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	m := newMemoryLimit()
	m.set(64 << 20)
	if got := debug.SetMemoryLimit(-1); got != 64<<20 {
		t.Errorf("the limit is %d", got)
	}
	m.set(0)
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("the limit is %d, was %d", got, before)
	}
}
