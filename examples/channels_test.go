package examples_test

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"icomet/server/servertest"
)

// TestGoChannels: channels are added and removed while it runs, each goes on where it was
// after a cut and in the next run, and says what is missing.
func TestGoChannels(t *testing.T) {
	t.Parallel()
	program, err := servertest.Build(filepath.Join(t.TempDir(), "go-channels"), "icomet/examples/go-channels")
	if err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600") // it stores the last 10 messages
	proxy := servertest.NewProxy(t, s.Front)
	file := filepath.Join(t.TempDir(), "positions")
	run := func() (input io.Writer, interrupt func(), stdout, stderr *servertest.Output) {
		cmd := exec.Command(program, file, proxy.URL)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		ended, stdout, stderr := start(t, cmd)
		return stdin, func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // as a terminal does
			if err := ended(); err != nil {
				t.Errorf("ended with %v: %s", err, stderr)
			}
		}, stdout, stderr
	}
	wantTold := func(stderr *servertest.Output, want string) {
		t.Helper()
		servertest.CheckFor(t, servertest.Patience, func() error {
			if got := stderr.String(); !strings.Contains(got, want) {
				return fmt.Errorf("told %q, want %q", got, want)
			}
			return nil
		})
	}

	s.Push("news", "stored")
	input, interrupt, stdout, stderr := run()
	fmt.Fprintln(input, "+news")
	wantOutput(t, stdout, stderr, "news: stored\n")
	fmt.Fprintln(input, "+sports\n+a & ü\nnonsense")
	s.WaitSubscribers("a & ü", 1)
	wantTold(stderr, "nonsense: want +CHANNEL or -CHANNEL\n")
	proxy.Cut()
	s.Push("sports", "1:0")
	wantOutput(t, stdout, stderr, "news: stored\nsports: 1:0\n")
	fmt.Fprintln(input, "-a & ü")
	wantTold(stderr, "a & ü: removed after ")
	s.WaitSubscribers("a & ü", 0)
	s.WaitSubscribers("news", 1)
	s.Call("/end", "cname", "news", "content", "the last")
	wantTold(stderr, "news: the channel has ended\n")
	wantOutput(t, stdout, stderr, "news: stored\nsports: 1:0\nnews: the last\n")
	interrupt()

	want := ""
	for n := range 12 {
		s.Push("sports", fmt.Sprint(n))
		if n > 1 {
			want += fmt.Sprint("sports: ", n, "\n")
		}
	}
	_, interrupt, stdout, stderr = run()
	wantOutput(t, stdout, stderr, want)
	wantTold(stderr, "sports: 2 messages are missing: trimmed\n")
	interrupt()
}
