package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/internal/version"
	"icomet/server/servertest"
)

// program is the built command, for tests of what a process has of its own: signals, exit
// status, standard error.
var program func() (path string, err error)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "icomet-command-")
	if err != nil {
		panic(err)
	}
	program = sync.OnceValues(func() (string, error) { return servertest.Build(filepath.Join(dir, "icomet"), "icomet/cmd/icomet") })
	servertest.Main(m, func() { os.RemoveAll(dir) })
}

// command is a command line in progress.
type command struct {
	t              *testing.T
	stdout, stderr *servertest.Output
	stop           context.CancelFunc
	done           chan error
}

// start runs a command line with the server (nil: none) in its environment variables.
func start(t *testing.T, s *servertest.Server, stdin string, args ...string) *command {
	t.Helper()
	return startReading(t, s, strings.NewReader(stdin), args...)
}

func startReading(t *testing.T, s *servertest.Server, stdin io.Reader, args ...string) *command {
	t.Helper()
	environ := map[string]string{}
	if s != nil {
		environ[frontVariable] = strings.TrimPrefix(s.Front, "http://")
		environ[adminVariable] = strings.TrimPrefix(s.Admin, "http://")
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := &command{t: t, stdout: new(servertest.Output), stderr: new(servertest.Output), stop: cancel, done: make(chan error, 1)}
	go func() {
		c.done <- run(ctx, args, func(name string) string { return environ[name] }, stdin, c.stdout, c.stderr)
	}()
	t.Cleanup(cancel)
	return c
}

func (c *command) end() error {
	c.t.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(servertest.Patience):
		c.t.Fatalf("the command has not ended within %v: %s%s", servertest.Patience, c.stdout, c.stderr)
		return nil
	}
}

// wantOutput waits until the command has printed exactly this.
func (c *command) wantOutput(want string) {
	c.t.Helper()
	servertest.CheckFor(c.t, servertest.Patience, func() error {
		if got := c.stdout.String(); got != want {
			return errors.New("printed " + got + c.stderr.String() + "want " + want)
		}
		return nil
	})
}

// ownPorts are ports that no other test gets, even while the server is stopped.
func ownPorts(t *testing.T) []string {
	t.Helper()
	return []string{
		fmt.Sprint("ICOMET_FRONT_LISTEN=127.0.0.1:", redistest.Port(t)),
		fmt.Sprint("ICOMET_ADMIN_LISTEN=127.0.0.1:", redistest.Port(t)),
	}
}

// runs runs a command line to its end and returns what it printed.
func runs(t *testing.T, s *servertest.Server, args ...string) string {
	t.Helper()
	c := start(t, s, "", args...)
	if err := c.end(); err != nil {
		t.Fatalf("icomet %q: %v", args, err)
	}
	return c.stdout.String()
}

// fails checks that a command line fails with a message that has all the words.
func fails(t *testing.T, s *servertest.Server, args []string, words ...string) {
	t.Helper()
	failsReading(t, s, "", args, words...)
}

func failsReading(t *testing.T, s *servertest.Server, stdin string, args []string, words ...string) {
	t.Helper()
	err := start(t, s, stdin, args...).end()
	if err == nil {
		t.Errorf("icomet %q: no error", args)
		return
	}
	text := explain(err)
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("icomet %q: %q has no %q", args, text, w)
		}
	}
}

func TestSubAndPub(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	for _, transport := range []string{"stream", "sse", "iframe", "poll"} {
		c := start(t, s, "", "sub", transport, "-t", transport, "--count", "4")
		s.WaitSubscribers(transport, 1)
		runs(t, s, "pub", transport, "hello")
		if err := start(t, s, "one\ntwo\n", "pub", transport, "-").end(); err != nil {
			t.Fatal(err)
		}
		runs(t, s, "pub", transport, "--encoded", `a \"quote\"`)
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		c.wantOutput("hello\none\ntwo\na \"quote\"\n")
		c = start(t, s, "", "sub", transport, "-t", transport, "--seq", "1", "--json", "-n", "1")
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		c.wantOutput(`{"type":"data","cname":"` + transport + `","seq":1,"content":"hello","epoch":"` + epochOf(t, s, transport) + `"}` + "\n")
	}
}

func TestSubResumes(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, append(ownPorts(t), "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=2", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")...)
	proxy := servertest.NewProxy(t, s.Front)
	c := start(t, s, "", "sub", "a", "--front", proxy.URL)
	s.WaitSubscribers("a", 1)
	s.Push("a", "m1")
	c.wantOutput("m1\n")
	proxy.Freeze(true)
	proxy.Cut()
	for _, m := range []string{"m2", "m3", "m4", "m5"} {
		s.Push("a", m)
	}
	proxy.Freeze(false)
	c.wantOutput("m1\nm4\nm5\n")
	if got := c.stderr.String(); !strings.Contains(got, "again in ") || !strings.Contains(got, "2 messages could not be had any more: the server does not store them now; goes on after ") {
		t.Errorf("told %q", got)
	}
	s.Kill()
	s.Restart()
	s.Push("a", "new")
	c.wantOutput("m1\nm4\nm5\nnew\n")
	if got := c.stderr.String(); !strings.Contains(got, "nobody can know how many: the channel began anew; goes on after ") {
		t.Errorf("told %q", got)
	}
	runs(t, s, "close", "a")
	if err := c.end(); err != nil || !strings.HasSuffix(c.stderr.String(), "icomet: the channel was closed\n") {
		t.Errorf("%v, told %q", err, c.stderr)
	}
}

// TestInterrupt: Ctrl-C is no error.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, args := range [][]string{{"sub", "a"}, {"channels", "--watch"}, {"top", "--every", "1h"}} {
		c := start(t, s, "", args...)
		if args[0] == "sub" {
			s.WaitSubscribers("a", 1)
		}
		c.stop()
		if err := c.end(); err != nil {
			t.Errorf("icomet %q ended with %v", args, err)
		}
	}
}

// TestTerminalIsSafe: a message cannot send control sequences to the terminal, and is one
// line, whatever a reader takes for the end of a line.
func TestTerminalIsSafe(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	s.Push("a", "\x1b[2Jred\u009b31m\r\nnext\ttab\u2028\u2029\u0085<")
	if got, want := runs(t, s, "sub", "a", "--seq", "1", "-n", "1"), "\ufffd[2Jred\ufffd31m\ufffd⏎next\ttab⏎⏎\ufffd<\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	want := `{"type":"data","cname":"a","seq":1,"content":"\u001b[2Jred` + "\u009b" + `31m\r\nnext\ttab\u2028\u2029\u0085<","epoch":"` + epochOf(t, s, "a") + `"}` + "\n"
	if got := runs(t, s, "sub", "a", "--seq", "1", "-n", "1", "--json"); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestSign(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	token := strings.TrimSpace(runs(t, s, "sign", "a", "--expires", "90s"))
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(token) {
		t.Fatalf("token %q", token)
	}
	var all struct {
		Token   string
		Expires int
	}
	if err := json.Unmarshal([]byte(runs(t, s, "sign", "a", "--json", "--expires", "2m")), &all); err != nil || all.Token != token || all.Expires != 120 {
		t.Errorf("%+v %v", all, err)
	}
	for _, how := range [][]string{{"--sign"}, {"--token", token}} {
		c := start(t, s, "", append([]string{"sub", "a", "-n", "1"}, how...)...)
		s.WaitSubscribers("a", 1)
		s.Push("a", "m")
		if err := c.end(); err != nil || c.stdout.String() != "m\n" {
			t.Errorf("%s: %v %q", how, err, c.stdout)
		}
		s.WaitSubscribers("a", 0)
	}
	fails(t, s, []string{"sub", "a"}, "the token is not valid", "--sign", "--token")
	fails(t, s, []string{"sub", "a", "--token", "wrong"}, "the token is not valid", "--sign")
}

func TestInfo(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=2")
	for range 2 {
		start(t, s, "", "sub", "busy", "-q")
	}
	s.WaitSubscribers("busy", 2)
	start(t, s, "", "sub", "quiet", "-q")
	s.WaitSubscribers("quiet", 1)
	if got := runs(t, s, "info"); !regexp.MustCompile(`^version +\S+\nchannels +2\nsubscribers +3\n$`).MatchString(got) {
		t.Errorf("info printed %q", got)
	}
	if got, want := runs(t, s, "info", "busy", "--json"), `{"alive":true,"cname":"busy","subscribers":2}`+"\n"; got != want {
		t.Errorf("info printed %q", got)
	}
	if got, want := runs(t, s, "info", "none"), "cname        none\nalive        false\nsubscribers  0\n"; got != want {
		t.Errorf("info printed %q, want %q", got, want)
	}
	runs(t, s, "clear", "busy")
	runs(t, s, "broadcast", "to all")
}

func TestWatch(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	c := start(t, s, "", "channels", "--watch")
	s.CheckFor(servertest.Patience, func() error {
		if !strings.Contains(s.Call("/stats"), `"psub":1`) {
			return errors.New("nobody watches")
		}
		return nil
	})
	runs(t, s, "sign", "a")
	runs(t, s, "close", "a")
	c.wantOutput("+ a\n- a\n")
}

func TestTop(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	start(t, s, "", "sub", "a", "-q", "-t", "sse")
	s.WaitSubscribers("a", 1)
	c := start(t, s, "", "top", "--every", "100ms", "--rounds", "3")
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	pages := strings.Split(strings.TrimSpace(c.stdout.String()), "icomet ")
	if len(pages) != 4 {
		t.Fatalf("%d pages:\n%s", len(pages)-1, c.stdout)
	}
	for _, want := range []string{`subscribers +1 +1 sse`, `channels +1`, `requests +[0-9.]+ ?k?/s`, `bytes +[0-9.]+ k?B/s in`, `memory +[0-9.]+ MB RSS`, `loop 0 `} {
		if !regexp.MustCompile(want).MatchString(pages[3]) {
			t.Errorf("no %q in:\n%s", want, pages[3])
		}
	}
	if strings.Contains(c.stdout.String(), "\x1b") {
		t.Error("control sequences where there is no terminal")
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_ADMIN_KEYS=sesame")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("\ufeffsesame\nold\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, s, "pub", "a", "m", "--key-file", file)
	if got := runs(t, s, "channels", "--key-file", file, "--json"); got != `{"cname":"a","subscribers":0,"stored":1,"next":2}`+"\n" {
		t.Errorf("channels printed %q", got)
	}
	fails(t, s, []string{"channels"}, "HTTP 401", "--key-file")
	fails(t, s, []string{"pub", "a", "m"}, "HTTP 401", "--key-file", keysVariable)
	fails(t, s, []string{"pub", "a", "m", "--key-file", file + "x"}, "--key-file", "no such file")
}

// TestHelp: every command has an example, and completion knows the values of flags.
func TestHelp(t *testing.T) {
	root := newRoot(&place{getenv: func(string) string { return "" }})
	for _, cmd := range root.Commands() {
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example", cmd.Name())
		}
	}
	if got := runs(t, nil, "--help"); !strings.Contains(got, "icomet pub news 'hello'") {
		t.Errorf("help: %s", got)
	}
	if got := runs(t, nil, "__complete", "sub", "a", "--transport", ""); !strings.HasPrefix(got, "stream\nsse\niframe\npoll\nws\n") {
		t.Errorf("completion of --transport: %q", got)
	}
	if got := runs(t, nil, "completion", "bash"); !strings.Contains(got, "__start_icomet") {
		t.Error("no completion for bash")
	}
}

// TestVersion: all three programs of the project take -version; cobra has --version.
func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"-version", "--version", "-v"} {
		var stdout, stderr strings.Builder
		err := run(t.Context(), []string{arg}, func(string) string { return "" }, strings.NewReader(""), &stdout, &stderr)
		if want := version.Line("icomet") + "\n"; err != nil || stdout.String() != want || stderr.String() != "" {
			t.Errorf("%s: %v, %q, %q, want %q", arg, err, &stdout, &stderr, want)
		}
	}
}
