package e2e

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"icomet/server"
	"icomet/server/servertest"
)

// startLogged runs a server whose log, from a level on, is read by line.
func startLogged(t *testing.T, level slog.Level, set ...string) (s *testServer, lines func() []map[string]any) {
	t.Helper()
	written := new(servertest.Output)
	s = startServerAs(t, withSettings(t, set...), func(o *server.Options) {
		o.Logger = slog.New(slog.NewJSONHandler(written, &slog.HandlerOptions{Level: level}))
	}, nil)
	return s, func() (all []map[string]any) {
		for line := range strings.Lines(written.String()) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			all = append(all, m)
		}
		return all
	}
}

// wantLine waits for exactly one line with these attributes, written as "k=v", among those
// with the message.
func wantLine(t *testing.T, lines func() []map[string]any, message string, pairs ...string) {
	t.Helper()
	checkFor(t, patience, func() error {
		found := 0
		for _, line := range lines() {
			fits := line["msg"] == message
			for _, pair := range pairs {
				name, value, _ := strings.Cut(pair, "=")
				fits = fits && fmt.Sprint(line[name]) == value
			}
			if fits {
				found++
			}
		}
		if found != 1 {
			return fmt.Errorf("%d lines %q with %q in\n%v", found, message, pairs, lines())
		}
		return nil
	})
}

// TestRefusalsAreLogged: at debug every refusal and every admin call is a line that says who,
// where and why, and never with what.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	s, lines := startLogged(t, slog.LevelDebug, "front.auth=token", "admin.keys=sesame", "front.max_channels=2",
		"admin.trusted_proxies=127.0.0.1", "admin.allow=127.0.0.0/8,10.0.0.9")
	const from = "client=127.0.0.1"
	for i, transport := range transports {
		s.open(transport, fmt.Sprintf("cname=r%d&token=secret-token", i)).next()
		wantLine(t, lines, "subscriber refused", "level=DEBUG", "path=/"+transport, fmt.Sprintf("channel=r%d", i), from, "reason=token error")
	}
	for _, kind := range servertest.AllKinds {
		s.ask(kind, fmt.Sprintf("cname=one-%s&token=secret-token&cname=two-%s&token=secret-token", kind, kind)).until("two-" + kind)
		for _, name := range []string{"one-", "two-"} {
			wantLine(t, lines, "subscriber refused", "level=DEBUG", "path=/"+strings.TrimSuffix(kind, "10"), "channel="+name+kind, from, "reason=token error")
		}
	}
	w := s.socket("/ws")
	w.say(`{"type":"subscribe","cname":"by-command","token":"secret-token"}`)
	wantLine(t, lines, "subscriber refused", "level=DEBUG", "channel=by-command", from, "reason=token error")
	w.say(`{"type":"secret","cname":"bad-command","token":"secret-token"}`)
	wantLine(t, lines, "command refused", "level=DEBUG", "channel=bad-command", from, "reason=the type is not subscribe, unsubscribe or ping")
	bad := uint64(0)
	for _, loop := range s.reactor.Counters() {
		bad += loop.BadCommands.Load()
	}
	if bad != 1 {
		t.Errorf("%d refused commands are counted", bad)
	}
	s.request("GET", s.front, "/nothing?token=secret-token")
	wantLine(t, lines, "request refused", "level=DEBUG", "status=404", "path=/nothing", from, "method=GET", "channel=<nil>")
	s.request("PUT", s.front, "/poll?cname=a")
	wantLine(t, lines, "request refused", "status=405", "path=/poll", from)
	s.request("GET", s.front, "/poll?seq=x&cname=bad")
	wantLine(t, lines, "request refused", "status=400", "path=/poll", "channel=bad", "reason=seq is not an integer")
	s.request("GET", s.admin, "/push?cname=a&content=secret-content")
	wantLine(t, lines, "request refused", "status=401", "path=/push", from, "channel=<nil>")
	c := dial(t, s.front)
	c.sendf("nonsense\r\n\r\n")
	c.wantError(400, "", true)
	wantLine(t, lines, "request refused", "status=400", from, "reason=the request line is not METHOD SP TARGET SP HTTP/d.d")

	admin := func(path string) {
		c := dial(t, s.admin)
		c.sendf("GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sesame\r\nX-Forwarded-For: 10.0.0.9\r\nConnection: close\r\n\r\n", path)
		c.response()
	}
	const who = "client=10.0.0.9"
	admin("/sign?cname=signed")
	wantLine(t, lines, "admin call", "level=DEBUG", "path=/sign", "channel=signed", who)
	admin("/push?cname=pushed&content=secret-content")
	wantLine(t, lines, "admin call", "level=DEBUG", "path=/push", "channel=pushed", who)
	admin("/pub?cname=third&content=secret-content")
	wantLine(t, lines, "admin call", "path=/pub", "channel=third", who)
	wantLine(t, lines, "request refused", "status=429", "channel=third")
	admin("/clear?cname=pushed")
	wantLine(t, lines, "admin call", "path=/clear", "channel=pushed", who)
	admin("/close?cname=pushed")
	wantLine(t, lines, "admin call closes a channel", "level=INFO", "path=/close", "channel=pushed", who)
	admin("/close?cname=none")
	wantLine(t, lines, "request refused", "status=404", "channel=none")
	admin("/broadcast?content=secret-content")
	wantLine(t, lines, "admin call broadcasts", "level=INFO", "path=/broadcast", who)
	for _, line := range lines() {
		if text := fmt.Sprint(line); strings.Contains(text, "secret") || strings.Contains(text, "sesame") {
			t.Errorf("a secret is in the log: %s", text)
		}
	}
}

// TestCallsAtInfo: what ends connections or reaches everybody is a line by default, and
// nothing of the traffic is.
func TestCallsAtInfo(t *testing.T) {
	t.Parallel()
	s, lines := startLogged(t, slog.LevelInfo)
	started := len(lines())
	s.call("/push?cname=a&content=x")
	s.call("/sign?cname=a")
	s.request("GET", s.front, "/nothing")
	s.request("GET", s.front, "/poll")
	if n := len(lines()); n != started {
		t.Errorf("traffic has written %d lines: %v", n-started, lines())
	}
	s.call("/broadcast?content=x")
	s.call("/close?cname=a")
	wantLine(t, lines, "admin call broadcasts", "client=127.0.0.1")
	wantLine(t, lines, "admin call closes a channel", "client=127.0.0.1", "channel=a")
}
