package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"icomet/server/servertest"
)

func TestChannels(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	if got, want := runs(t, s, "channels"), "  SUBSCRIBERS  STORED  NEXT  CHANNEL\n"; got != want {
		t.Errorf("of no channels: %q, want %q", got, want)
	}
	start(t, s, "", "sub", "Room/<b>", "-q")
	s.WaitSubscribers("Room/<b>", 1)
	s.Push("news", "m")
	s.Push("a\x1b", "m")
	for _, c := range []struct{ args, stdout, stderr string }{
		{"", "  SUBSCRIBERS  STORED  NEXT  CHANNEL\n" +
			"            1       0     1  Room/<b>\n            0       1     2  a\ufffd\n            0       1     2  news\n", ""},
		{"--sort name --limit 2 --json", `{"cname":"Room/<b>","subscribers":1,"stored":0,"next":1}` + "\n" +
			`{"cname":"a\u001b","subscribers":0,"stored":1,"next":2}` + "\n", "icomet: 2 of 3 channels; see --limit and --search\n"},
		{"--search ROOM", "  SUBSCRIBERS  STORED  NEXT  CHANNEL\n            1       0     1  Room/<b>\n", ""},
	} {
		cmd := start(t, s, "", append([]string{"channels"}, strings.Fields(c.args)...)...)
		if err := cmd.end(); err != nil || cmd.stdout.String() != c.stdout || cmd.stderr.String() != c.stderr {
			t.Errorf("%s: %v\n%q\n%q, want\n%q\n%q", c.args, err, cmd.stdout, cmd.stderr, c.stdout, c.stderr)
		}
	}
}

// TestChannelsByRate: the most active channel comes first.
func TestChannelsByRate(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	s.Push("quiet", "m")
	table := regexp.MustCompile(`^ +SUBSCRIBERS +MSG/S +STORED +NEXT +CHANNEL\n +0 +[1-9][0-9.]* +\d+ +\d+  loud\n +0 +0 +1 +2  quiet\n$`)
	s.CheckFor(servertest.Patience, func() error {
		for range 5 {
			s.Push("loud", "m")
		}
		if got := runs(t, s, "channels", "--sort", "rate"); !table.MatchString(got) {
			return errors.New(got)
		}
		return nil
	})
	if got := runs(t, s, "channels", "--sort", "rate", "--search", "quiet", "--json"); !strings.HasSuffix(got, `"rate":0}`+"\n") {
		t.Errorf("%q", got)
	}
}

// TestChannelsInPages: a list longer than a page of the server has each channel once, in
// order.
func TestChannelsInPages(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	var want strings.Builder
	for i := range 430 {
		name := fmt.Sprintf("c%03d", i)
		s.Push(name, "m")
		if i < 410 {
			want.WriteString(`{"cname":"` + name + `","subscribers":0,"stored":1,"next":2}` + "\n")
		}
	}
	for _, order := range []string{"name", "subscribers", "stored"} {
		if got := runs(t, s, "channels", "--json", "--limit", "410", "--sort", order); got != want.String() {
			t.Errorf("by %s: %d lines: %.200q", order, strings.Count(got, "\n"), got)
		}
	}
}
