package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"icomet/client"
	"icomet/server/servertest"
)

// epochOf is the epoch of a channel with messages.
func epochOf(t *testing.T, s *servertest.Server, channel string) string {
	t.Helper()
	for m, err := range (&client.Subscriber{URL: s.Front, Channel: channel, Last: 1}).Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		return m.Epoch
	}
	return ""
}

// wantTold waits until the command has told this on standard error, as a regular
// expression.
func (c *command) wantTold(want string) {
	c.t.Helper()
	servertest.CheckFor(c.t, servertest.Patience, func() error {
		if got := c.stderr.String(); !regexp.MustCompile(want).MatchString(got) {
			return fmt.Errorf("told %q, want %q", got, want)
		}
		return nil
	})
}

// TestPositions: what pub and sub tell is where another sub goes on, and sub says whether
// anything is missing.
func TestPositions(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, append(ownPorts(t), "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=4", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")...)
	first := strings.TrimSpace(runs(t, s, "pub", "a", "m1", "--position"))
	epoch, number, _ := strings.Cut(first, "-")
	if !regexp.MustCompile("^[0-9a-f]{8}$").MatchString(epoch) || number != "1" {
		t.Fatalf("the position is %q", first)
	}
	at := func(seq int) string { return fmt.Sprint(epoch, "-", seq) }
	for n := 2; n <= 4; n++ {
		runs(t, s, "pub", "a", fmt.Sprint("m", n))
	}
	for _, c := range []struct{ args, stdout, stderr string }{
		{"--from " + first + " -n 2", "m2\nm3\n", "icomet: nothing is missing after " + first + "\nicomet: to go on after this: --from " + at(3) + "\n"},
		{"--last 2 -n 2", "m3\nm4\n", "icomet: begins after " + at(2) + "\nicomet: to go on after this: --from " + at(4) + "\n"},
		{"--last 2 -n 2 -q", "m3\nm4\n", ""},
		{"--from " + first + " -n 1 --json", `{"type":"data","cname":"a","seq":2,"content":"m2","epoch":"` + epoch + `"}` + "\n",
			`{"type":"position","cname":"a","position":"` + first + `","recovered":true,"lost":0}` + "\n" + `{"type":"stopped","cname":"a","position":"` + at(2) + `"}` + "\n"},
		{"--from ffffffff-3 -n 1", "m1\n", "icomet: messages may be missing, and nobody can know how many: the channel began anew; goes on after " + at(0) +
			"\nicomet: to go on after this: --from " + at(1) + "\n"},
		{"--seq 3 -q -n 1", "m3\n", "icomet: messages may be missing, and nobody can know how many: a number alone does not say in which life of the channel; --from does; goes on after " + at(2) + "\n"},
		{"--from " + at(9) + " -n 1 -q --seq-is-live", "live\n", "icomet: messages may be missing, and nobody can know how many: the channel has not come that far, so it has lost something itself; goes on after " + at(4) + "\n"},
	} {
		args, live := strings.CutSuffix(c.args, " --seq-is-live")
		cmd := start(t, s, "", append([]string{"sub", "a"}, strings.Fields(args)...)...)
		if live {
			s.WaitSubscribers("a", 1)
			s.Push("a", "live")
		}
		if err := cmd.end(); err != nil || cmd.stdout.String() != c.stdout || cmd.stderr.String() != c.stderr {
			t.Errorf("sub %s: %v, printed %q, want %q;\ntold %q,\nwant %q", c.args, err, cmd.stdout, c.stdout, cmd.stderr, c.stderr)
		}
		s.WaitSubscribers("a", 0)
	}
	runs(t, s, "pub", "a", "m6")
	cmd := start(t, s, "", "sub", "a", "--from", first, "-q", "--json", "-n", "1")
	if err := cmd.end(); err != nil || cmd.stderr.String() != `{"type":"position","cname":"a","position":"`+at(2)+`","recovered":false,"lost":1,"reason":"trimmed"}`+"\n" {
		t.Errorf("%v, told %q", err, cmd.stderr)
	}
	cmd.wantOutput(`{"type":"data","cname":"a","seq":3,"content":"m3","epoch":"` + epoch + `","lost":1,"reason":"trimmed"}` + "\n")
}

// TestSubThroughKills: a sub that is interrupted says where to go on, and one that goes on
// there after the server was killed says that it cannot know what is missing.
func TestSubThroughKills(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, append(ownPorts(t), "ICOMET_FRONT_CHANNEL_TIMEOUT=600")...)
	c := start(t, s, "", "sub", "a")
	s.WaitSubscribers("a", 1)
	s.Push("a", "m1")
	c.wantOutput("m1\n")
	c.stop()
	if err := c.end(); err != nil {
		t.Error(err)
	}
	found := regexp.MustCompile("--from ([0-9a-f]{8}-1)\n$").FindStringSubmatch(c.stderr.String())
	if found == nil {
		t.Fatalf("told %q", c.stderr)
	}
	c = start(t, s, "", "sub", "a", "--from", found[1])
	c.wantTold("nothing is missing after " + found[1])
	s.Kill()
	s.Restart()
	for n := range 3 { // more than there were before
		s.Push("a", fmt.Sprint("new", n))
	}
	c.wantOutput("new0\nnew1\nnew2\n")
	c.wantTold("nobody can know how many: the channel began anew; goes on after [0-9a-f]{8}-0\n")
	if got := runs(t, s, "end", "a", "the last"); got != "ok, its last message was number 4\n" {
		t.Errorf("end printed %q", got)
	}
	if err := c.end(); err != nil || c.stdout.String() != "new0\nnew1\nnew2\nthe last\n" || !strings.HasSuffix(c.stderr.String(), "icomet: the channel has ended\n") {
		t.Errorf("%v, printed %q, told %q", err, c.stdout, c.stderr)
	}
	c = start(t, s, "", "sub", "a", "--last", "1", "--json")
	if err := c.end(); err != nil || !strings.HasSuffix(c.stderr.String(), `{"type":"end","cname":"a","position":"`+epochOf(t, s, "a")+`-4"}`+"\n") {
		t.Errorf("%v, printed %q, told %q", err, c.stdout, c.stderr)
	}
	fails(t, s, []string{"pub", "a", "late"}, "409", "ended", "icomet close")
	c = start(t, s, "late\n", "pub", "a", "-")
	if err := c.end(); !errors.Is(err, client.ErrEnded) || !strings.Contains(err.Error(), "line 1 is not published") {
		t.Errorf("%v", err)
	}
	if got := runs(t, s, "end", "a"); got != "ok, its last message was number 4\n" {
		t.Errorf("end printed %q", got)
	}
}

// TestPubOnce: an id publishes once, a number only in its turn.
func TestPubOnce(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	at := strings.TrimSpace(runs(t, s, "pub", "a", "m1", "--id", "order-1", "--position"))
	c := start(t, s, "", "pub", "a", "m1", "--id", "order-1", "-p")
	if err := c.end(); err != nil || c.stdout.String() != at+"\n" || !strings.Contains(c.stderr.String(), "is there already: "+at) {
		t.Errorf("%v, printed %q, told %q", err, c.stdout, c.stderr)
	}
	epoch, _, _ := strings.Cut(at, "-")
	fails(t, s, []string{"pub", "a", "x", "--if-seq", "1"}, "409", "last message is "+at+", so the next one would be number 2")
	fails(t, s, []string{"pub", "a", "x", "--if-seq", "ffffffff-2"}, "409", at)
	runs(t, s, "pub", "a", "m2", "--if-seq", epoch+"-2")
	runs(t, s, "pub", "a", "m3", "--if-seq", "3")
	for range 2 {
		runs(t, s, "broadcast", "m4", "--id", "x")
		runs(t, s, "end", "a", "m5", "--id", "y")
	}
	if got := runs(t, s, "sub", "a", "--seq", "1"); got != "m1\nm2\nm3\nm4\nm5\n" {
		t.Errorf("published %q", got)
	}
}

// TestPubLosesNothing: calls and answers get lost; each line is published once, in order.
func TestPubLosesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	var count atomic.Int64
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := count.Add(1)
		if n%4 == 2 {
			panic(http.ErrAbortHandler)
		}
		req, _ := http.NewRequest(r.Method, s.Admin+r.URL.Path, r.Body) // such a request was there before
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil || n%4 == 0 {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // a failure is the command's
	}))
	t.Cleanup(gate.Close)
	want := strings.Builder{}
	for n := range 300 {
		fmt.Fprintf(&want, "line %d\n", n)
	}
	c := start(t, s, want.String(), "pub", "a", "-", "--admin", gate.URL)
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if got := runs(t, s, "sub", "a", "--seq", "1", "-n", "300"); got != want.String() || !strings.Contains(c.stderr.String(), "again in ") {
		t.Errorf("published %q, told %q", got, c.stderr)
	}
	if got := runs(t, s, "clear", "a"); got != "ok, the next message is number 301\n" {
		t.Errorf("clear printed %q", got)
	}
}

// TestPubThroughKill: the server is killed between lines and starts again; none is lost
// that it had not stored, and none is there twice.
func TestPubThroughKill(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, append(ownPorts(t), "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")...)
	r, w := io.Pipe()
	c := startReading(t, s, r, "pub", "a", "-")
	write := func(from, to int) {
		for n := from; n <= to; n++ {
			fmt.Fprintf(w, "%d\n", n)
		}
	}
	write(1, 50)
	runs(t, s, "sub", "a", "--seq", "1", "-n", "50")
	s.Kill()
	go func() {
		write(51, 200)
		w.Close()
	}()
	c.wantTold("again in ")
	s.Restart()
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	// What was stored but could not be answered before the kill is there again.
	var first, count int
	got := runs(t, s, "sub", "a", "--seq", "1", "-n", "150")
	fmt.Sscan(got, &first)
	for line := range strings.Lines(got) {
		if line != fmt.Sprintln(first+count) {
			t.Fatalf("line %d is %q, after %q", count, line, got)
		}
		count++
	}
	if first < 1 || first > 51 || !strings.Contains(runs(t, s, "clear", "a"), fmt.Sprint("number ", 200-first+2)) {
		t.Errorf("begins with %d", first)
	}
}

// unanswered is what pub tells when it is stopped: nothing, unless the answer of a line
// that is already published was still on its way.
var unanswered = regexp.MustCompile("^(icomet: stopped: .* is not known\n)?$")

// TestPubStops: Ctrl-C ends it also while nothing comes to be read; what is not known is
// told.
func TestPubStops(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, ownPorts(t)...)
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	c := startReading(t, s, r, "pub", "a", "-")
	fmt.Fprint(w, "one\n")
	if got := runs(t, s, "sub", "a", "--seq", "1", "-n", "1"); got != "one\n" {
		t.Errorf("published %q", got)
	}
	c.stop()
	if err := c.end(); err != nil || !unanswered.MatchString(c.stderr.String()) {
		t.Errorf("%v, told %q", err, c.stderr)
	}
	s.Kill()
	c = start(t, s, "two\nthree\n", "pub", "a", "-")
	c.wantTold("again in ")
	c.stop()
	if err := c.end(); err != nil || !strings.HasSuffix(c.stderr.String(), "whether lines 1 to 2 are published is not known\n") {
		t.Errorf("%v, told %q", err, c.stderr)
	}
}

// TestCtrlC: the program, as a process of its own, ends at the signal with status 0, and
// sub tells where to go on.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	s.Push("a", "m1")
	for _, c := range []struct{ command, stdout, stderr string }{
		{"sub a --seq 1", "m1\n", "^icomet: begins after [0-9a-f]{8}-0\nicomet: to go on after this: --from [0-9a-f]{8}-1\n$"},
		{"pub b -", "", unanswered.String()},
	} {
		p := launch(t, s, strings.Fields(c.command)...)
		if c.stdout != "" {
			p.wantOutput(c.stdout)
		} else { // it has read a line when that is published
			fmt.Fprintln(p.stdin, "line")
			runs(t, s, "sub", "b", "--seq", "1", "-n", "1")
		}
		p.Signal(os.Interrupt)
		if status := p.end(); status != 0 || p.stdout.String() != c.stdout || !regexp.MustCompile(c.stderr).MatchString(p.stderr.String()) {
			t.Errorf("icomet %s: status %d, printed %q, told %q", c.command, status, p.stdout, p.stderr)
		}
	}
}
