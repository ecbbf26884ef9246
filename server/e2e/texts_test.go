package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestOneLineInEveryForm: a message is one line also to readers that split at any line end
// of Unicode, on every transport, live and in a backlog, whichever call it came by; so are
// the answers that name a channel.
func TestOneLineInEveryForm(t *testing.T) {
	t.Parallel()
	const raw, escaped = "a%E2%80%A8b%E2%80%A9c%C2%85d", `a\u2028b\u2029c\u0085d`
	s := startServer(t, nil)
	var live []*subscriber
	for _, transport := range transports {
		live = append(live, s.open(transport, "seq=1&cname="+raw))
	}
	s.waitSubscribers("a\u2028b\u2029c\u0085d", len(live))
	check := func(about, got string, times int) {
		t.Helper()
		if n := strings.Count(got, escaped); n != times || strings.ContainsAny(got, "\u0085\u2028\u2029") {
			t.Errorf("%s: %q", about, got)
		}
	}
	psub := dial(t, s.admin).get("/psub")
	psub.head()
	s.call("/push?cname=" + raw + "&content=" + raw)
	for _, sub := range live {
		check("live "+sub.transport, sub.next(), 2)
	}
	s.call("/pub?cname=" + raw + "&content=" + raw)
	s.call("/broadcast?content=" + raw)
	for _, transport := range transports {
		sub := s.open(transport, "seq=1&cname="+raw)
		got := sub.next()
		for !sub.polls && strings.Count(got, `"content":"`+escaped) < 3 {
			got += sub.next()
		}
		check("backlog of "+transport, got[:strings.LastIndex(got, `"content":"`+escaped)], 5)
	}
	for path, times := range map[string]int{"/sign": 1, "/info": 1, "/check": 1, "/check?cb=f": 1} {
		path, rest, _ := strings.Cut(path, "?")
		check(path, s.call(path+"?cname="+raw+"&"+rest), times)
	}
	if _, got := s.request("GET", s.admin, "/close?cname=x"+raw); got != "channel[x"+escaped+"] not connected\n" {
		t.Errorf("close: %q", got)
	}
	dial(t, s.front).get("/sub?cname=other" + raw)
	got := psub.chunk()
	if got == "1 a%E2%80%A8b%E2%80%A9c%C2%85d\n" { // the first of those above, told late
		got = psub.chunk()
	}
	if got != "1 othera%E2%80%A8b%E2%80%A9c%C2%85d\n" {
		t.Errorf("psub: %q", got)
	}
}

// TestLoneSurrogates: what /pub takes is text to strict readers too.
func TestLoneSurrogates(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := s.open("stream", "cname=a&seq=1")
	for i, tc := range []struct{ content, want string }{
		{`x\ud83d`, `x\ufffd`},
		{`\uDE00x`, `\ufffdx`},
		{`\ud83d\ud83d\ude00`, `\ufffd\ud83d\ude00`},
		{`\ude00\ud83d`, `\ufffd\ufffd`},
		{`\ud83d\u0041`, `\ufffd\u0041`},
		{`\\ud83d`, `\\ud83d`},
		{`\uD83D\uDE00`, `\uD83D\uDE00`},
	} {
		c := dial(t, s.admin)
		c.sendf("%s", post("/pub?cname=a", formBody, "content="+tc.content))
		c.wantReply(200, "{\"type\":\"ok\"}\n")
		sub.want("data", "a", int64(i+1), tc.want)
		backlog := fmt.Sprintf(`[{"type":"data","cname":"a","seq":%d,"content":"%s"}]`+"\n", i+1, tc.want)
		dial(t, s.front).get(fmt.Sprintf("/sub?cname=a&seq=%d", i+1)).wantReply(200, backlog)
	}
}
