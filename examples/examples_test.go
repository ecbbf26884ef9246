package examples_test

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"icomet/server/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// example is one program, as a command line; %s stands for the channel or the server.
type example struct {
	name    string
	runtime []string // what must be installed; what make test installs is required
	needed  bool
	command func(s *servertest.Server, args ...string) *exec.Cmd
}

func withAddress(name string, address func(*servertest.Server) string, program ...string) example {
	return example{name, program[:1], true, func(s *servertest.Server, args ...string) *exec.Cmd {
		line := append(append(append([]string{}, program[1:]...), args...), address(s))
		cmd := exec.Command(program[0], line...)
		cmd.Env = servertest.Trusting()
		return cmd
	}}
}

func withVariable(name, variable string, address func(*servertest.Server) string, script string) example {
	return example{name, []string{"sh", "curl", "jq"}, true, func(s *servertest.Server, args ...string) *exec.Cmd {
		cmd := exec.Command("sh", append([]string{script}, args...)...)
		cmd.Env = append(servertest.Trusting(), variable+"="+address(s))
		return cmd
	}}
}

func front(s *servertest.Server) string { return s.Front }
func admin(s *servertest.Server) string { return s.Admin }

// installed removes the programs that this machine cannot run, and says so. What make
// test installs must be there.
func installed(t *testing.T, list []example) (out []example) {
	t.Helper()
	for _, e := range list {
		missing := ""
		for _, name := range e.runtime {
			if _, err := exec.LookPath(name); err != nil {
				missing = name
			}
		}
		switch {
		case missing == "":
			out = append(out, e)
		case e.needed:
			t.Errorf("%s: %s is not installed: make test installs it", e.name, missing)
		default:
			t.Logf("%s is not tried: there is no %s here", e.name, missing)
		}
	}
	return out
}

func wantOutput(t *testing.T, o, diagnostics *servertest.Output, want string) {
	t.Helper()
	servertest.CheckFor(t, servertest.Patience, func() error {
		if got := o.String(); got != want {
			return fmt.Errorf("printed %q and %q, want %q", got, diagnostics, want)
		}
		return nil
	})
}

// TestSubscribers: each gets the stored messages and the new ones, continues after cuts
// and a kill of the server, says truly what is missing, goes on from the position that it
// tells when it is interrupted, and ends when the channel ends.
func TestSubscribers(t *testing.T) {
	t.Parallel()
	for _, e := range followers(t, "-XX:-UsePerfData") {
		t.Run(e.name, func(t *testing.T) { testSubscriber(t, e) })
	}
}

// followers are the examples that subscribe. Java has these options.
func followers(t *testing.T, options ...string) []example {
	t.Helper()
	goProgram, err := servertest.Build(filepath.Join(t.TempDir(), "go-example"), "icomet/examples/go")
	if err != nil {
		t.Fatal(err)
	}
	java := withAddress("Java", front, append(append([]string{"java"}, options...), "--source", "11", "java/Subscribe.java")...)
	java.needed = false // its package is large, so it is optional
	return installed(t, []example{
		withVariable("curl", "FRONT", front, "curl/subscribe.sh"),
		withAddress("Python", front, "python3", "python/subscribe.py"),
		withAddress("Go", front, goProgram),
		java,
	})
}

func testSubscriber(t *testing.T, e example) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600") // it stores the last 10 messages
	proxy := servertest.NewProxy(t, s.Front)
	const channel = "a & ü"
	pushAll := func(prefix string, count int) (last10 string) {
		for n := range count {
			s.Push(channel, fmt.Sprint(prefix, n))
			if n >= count-10 {
				last10 += fmt.Sprint(prefix, n, "\n")
			}
		}
		return last10
	}
	wantMissing := func(stderr *servertest.Output, want string) { // it may come later than what is printed
		t.Helper()
		servertest.CheckFor(t, servertest.Patience, func() error {
			if got := missing.FindAllString(stderr.String(), -1); strings.Join(got, "") != want {
				return fmt.Errorf("told %q, want %q; all of it: %s", got, want, stderr)
			}
			return nil
		})
	}

	s.Push(channel, "stored")
	cmd := e.command(&servertest.Server{Front: proxy.URL}, channel, "1")
	ended, stdout, stderr := start(t, cmd)
	wantOutput(t, stdout, stderr, "stored\n")
	s.WaitSubscribers(channel, 1)
	s.Push(channel, `live "ü" \ 😀`)
	want := "stored\nlive \"ü\" \\ 😀\n"
	wantOutput(t, stdout, stderr, want)
	proxy.Cut()
	s.Push(channel, "while away")
	s.Call("/broadcast", "content", "to all")
	want += "while away\nto all\n"
	wantOutput(t, stdout, stderr, want)
	wantMissing(stderr, "")
	proxy.Away(func() { want += pushAll("away", 14) })
	wantOutput(t, stdout, stderr, want)
	told := "4 messages are missing: trimmed\n"
	wantMissing(stderr, told)
	proxy.Away(func() { // the new life is further on than the old one
		s.Kill()
		s.Restart()
		want += pushAll("new life", 25)
	})
	wantOutput(t, stdout, stderr, want)
	told += "messages may be missing, and nobody can know how many: epoch\n"
	wantMissing(stderr, told)
	s.WaitSubscribers(channel, 1)

	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // as a terminal does
	_ = ended()                                        // each has a status of its own
	position := regexp.MustCompile("to go on after the last message: ([0-9a-f]{8}-25)\n").FindStringSubmatch(stderr.String())
	if position == nil {
		t.Fatalf("told no position: %s", stderr)
	}
	want = pushAll("meanwhile", 2)
	ended, stdout, stderr = start(t, e.command(&servertest.Server{Front: proxy.URL}, channel, position[1]))
	wantOutput(t, stdout, stderr, want)
	s.WaitSubscribers(channel, 1)
	s.Call("/end", "cname", channel, "content", "the last")
	if err := ended(); err != nil {
		t.Errorf("ended with %v: %s", err, stderr)
	}
	wantOutput(t, stdout, stderr, want+"the last\n")
	wantMissing(stderr, "")
}

// missing are the words by which the examples say what is missing.
var missing = regexp.MustCompile("([0-9]+ messages are missing|messages may be missing, and nobody can know how many): .*\n")

// start runs a command in a process group of its own; ended waits for its end.
func start(t *testing.T, cmd *exec.Cmd) (ended func() error, stdout, stderr *servertest.Output) {
	t.Helper()
	stdout, stderr = new(servertest.Output), new(servertest.Output)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var status error
	go func() {
		status = cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // a shell has children; they may have ended
		<-done
	})
	return func() error {
		<-done
		return status
	}, stdout, stderr
}

func publishers(t *testing.T) []example {
	t.Helper()
	return installed(t, []example{
		withVariable("curl", "ADMIN", admin, "curl/publish.sh"),
		withAddress("Python", admin, "python3", "python/publish.py"),
		withAddress("PHP", admin, "php", "php/publish.php"),
	})
}

// TestPublishers: the content arrives unchanged, and a mistake is reported, in plain and
// over TLS.
func TestPublishers(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*servertest.Server{"": servertest.Start(t), " TLS": servertest.StartTLS(t)} {
		testPublishers(t, name, s)
	}
}

func testPublishers(t *testing.T, over string, s *servertest.Server) {
	for _, e := range publishers(t) {
		t.Run(e.name+over, func(t *testing.T) {
			channel := "ü & " + e.name
			out, err := e.command(s, channel, `a&b=c "ü" \ 😀 + %20`).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "ok") {
				t.Errorf("%v: %s", err, out)
			}
			curl := exec.Command("curl", "-sS", "--get", s.Front+"/sub", "--data-urlencode", "cname="+channel, "--data", "seq=1")
			curl.Env = servertest.Trusting()
			got, err := curl.Output()
			want := `[{"type":"data","cname":"` + channel + `","seq":1,"content":"a&b=c \"ü\" \\ 😀 + %20"}]` + "\n"
			if err != nil || string(got) != want {
				t.Errorf("%v: got %s, want %s", err, got, want)
			}
			out, err = e.command(s, "", "x").CombinedOutput()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(out), "cname is missing") {
				t.Errorf("a mistake: %v %s", err, out)
			}
		})
	}
}
