package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"icomet/client"
	"icomet/server/servertest"
)

// wantLines waits until the process has printed these lines, of each channel in order.
func (p *process) wantLines(lines ...string) {
	p.t.Helper()
	want := byChannel(lines)
	servertest.CheckFor(p.t, servertest.Patience, func() error {
		if got := byChannel(strings.Split(strings.TrimSpace(p.stdout.String()), "\n")); !slices.Equal(got, want) {
			return fmt.Errorf("printed %q, want %q; told %s", got, want, p.stderr)
		}
		return nil
	})
}

// byChannel sorts lines by what stands before the tab, and keeps the order of a channel.
func byChannel(lines []string) []string {
	lines = slices.Clone(lines)
	slices.SortStableFunc(lines, func(a, b string) int {
		a, _, _ = strings.Cut(a, "\t")
		b, _, _ = strings.Cut(b, "\t")
		return strings.Compare(a, b)
	})
	return lines
}

// TestSubSeveral: on every transport several channels come over one connection, each line
// says which one it is of; through a cut and a restart nothing is lost or doubled; what
// Ctrl-C tells, a shell takes as it is, and each channel goes on where it was.
func TestSubSeveral(t *testing.T) {
	t.Parallel()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600", "ICOMET_ENGINE_SNAPSHOT="+filepath.Join(t.TempDir(), "snapshot"))
			proxy := servertest.NewProxy(t, s.Front)
			const odd = "it's b=1\t$HOME"
			const shown = "it's b=1\ufffd$HOME" // a tab would end the column
			s.Push("a", "stored\ttext")
			s.Push("sports", "old")
			p := launch(t, s, "sub", "a", odd, "sports", "-t", string(transport), "--last", "1", "--front", proxy.URL)
			want := []string{"a\tstored\ttext", "sports\told"}
			p.wantLines(want...)
			p.wantTold("channel " + regexp.QuoteMeta(printable(odd)) + ": begins after [0-9a-f]{8}-0\n")
			if n := proxy.Connections(); n > 2 { // one, and perhaps the one that asked for the heartbeat's period
				t.Errorf("%d connections", n)
			}
			s.Push(odd, "line 1\nline 2")
			proxy.Cut()
			s.Push("a", "while away")
			want = append(want, shown+"\tline 1⏎line 2", "a\twhile away")
			p.wantLines(want...)
			s.Stop()
			s.Restart()
			s.Push("sports", "new")
			want = append(want, "sports\tnew")
			p.wantLines(want...)
			p.wantTold("channel a: nothing is missing after [0-9a-f]{8}-2\n")
			if strings.Contains(p.stderr.String(), "may be missing") {
				t.Errorf("told %s", p.stderr)
			}
			p.Signal(os.Interrupt)
			if status := p.end(); status != 0 {
				t.Errorf("status %d, told %s", status, p.stderr)
			}

			_, flags, _ := strings.Cut(p.stderr.String(), "to go on after this:")
			if !regexp.MustCompile(`^ --from a=[0-9a-f]{8}-2 --from '[^\n]*' --from sports=[0-9a-f]{8}-2\n$`).MatchString(flags) {
				t.Fatalf("told %q", p.stderr)
			}
			for _, name := range []string{"a", odd, "sports"} {
				s.Push(name, "later")
			}
			// The tab of the name is the one thing that a terminal does not show as it is.
			script := fmt.Sprintf("exec '%s' sub a \"$0\" sports -t %s -n 3 %s", path, transport, strings.ReplaceAll(strings.TrimSpace(flags), shown, odd))
			p = launchCommand(t, s, exec.Command("sh", "-c", script, odd))
			if status := p.end(); status != 0 {
				t.Errorf("status %d, told %s", status, p.stderr)
			}
			p.wantLines("a\tlater", shown+"\tlater", "sports\tlater")
			if got := strings.Count(p.stderr.String(), ": nothing is missing after "); got != 3 {
				t.Errorf("told %s", p.stderr)
			}
		})
	}
}

// TestSubSeveralEnds: a channel that ends, is closed or is refused costs only itself; the
// exit status says whether all were followed.
func TestSubSeveralEnds(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			a, b, c := string(transport)+"-a", string(transport)+"-b", string(transport)+"-c"
			tokens := []string{}
			for _, name := range []string{a, b, c} {
				token := strings.TrimSpace(runs(t, s, "sign", name))
				s.Push(name, "m1")
				tokens = append(tokens, "--token", name+"="+token)
			}
			wrong := []string{"--token", c + "=0123456789abcdef0123456789abcdef"}
			sub := func(args ...string) *process {
				return launch(t, s, append([]string{"sub", a, b, c, "--seq", "1", "-t", string(transport)}, args...)...)
			}
			check := func(p *process, status int, told ...string) {
				t.Helper()
				if got := p.end(); got != status {
					t.Errorf("status %d, want %d; told %s", got, status, p.stderr)
				}
				for _, want := range told {
					p.wantTold(want)
				}
			}
			const refused = ": refused: the token is not valid for the channel\n"

			check(sub("-n", "3", "--sign"), 0, "to go on after this: --from "+a+"=[0-9a-f]{8}-1 --from "+b+"=")
			p := sub("--token", "0123456789abcdef0123456789abcdef") // one for all
			check(p, 1, "channel "+a+refused, "channel "+b+refused, "channel "+c+refused, "icomet: 3 of 3 channels were refused\n.*--sign")

			p = sub(append(tokens[:4:4], append(wrong, "-n", "3")...)...)
			p.wantTold("channel " + c + refused)
			p.wantLines(a+"\tm1", b+"\tm1")
			s.Push(b, "m2")
			check(p, 1, "icomet: 1 of 3 channels were refused\n")
			stored := []string{a + "\tm1", b + "\tm1", b + "\tm2"}
			p = sub(append(tokens[:4:4], wrong...)...)
			p.wantTold("channel " + c + refused)
			p.wantLines(stored...)
			p.Signal(syscall.SIGTERM)
			check(p, 1, "to go on after this: --from "+a+"=[0-9a-f]{8}-1 --from "+b+"=[0-9a-f]{8}-2\n", "1 of 3 channels were refused\n")

			part := sub(append(tokens[:4:4], append(wrong, "--json")...)...)
			whole := sub(tokens...)
			stored = append(stored, c+"\tm1")
			whole.wantLines(stored...)
			s.WaitSubscribers(a, 2)
			s.Call("/end", "cname", a, "content", "the last")
			whole.wantLines(append(stored, a+"\tthe last")...)
			whole.wantTold("channel " + a + ": the channel has ended\n")
			s.WaitSubscribers(c, 1)
			s.Call("/close", "cname", c)
			whole.wantTold("channel " + c + ": the channel was closed\n")
			s.WaitSubscribers(b, 2)
			s.Push(b, "m3")
			whole.wantLines(append(stored, a+"\tthe last", b+"\tm3")...)
			s.WaitSubscribers(b, 2)
			s.Call("/end", "cname", b)
			check(whole, 0, "channel "+b+": the channel has ended\n$")
			check(part, 1,
				`\{"type":"refused","cname":"`+c+`","position":"","error":"the token is not valid for the channel"\}\n`,
				`\{"type":"end","cname":"`+a+`","position":"[0-9a-f]{8}-2"\}\n`, `\{"type":"end","cname":"`+b+`","position":"[0-9a-f]{8}-3"\}\n`,
				"icomet: 1 of 3 channels were refused\n")
			for _, want := range []string{`"cname":"` + a + `","seq":2,"content":"the last","epoch":"`, `"cname":"` + b + `","seq":3,"content":"m3","epoch":"`} {
				if strings.Count(part.stdout.String(), want) != 1 {
					t.Errorf("printed %s, want one %s", part.stdout, want)
				}
			}
		})
	}
}
