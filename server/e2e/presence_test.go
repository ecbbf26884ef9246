package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestPresenceRepeats: a channel that lives is announced again every channel_timeout
// seconds, and those of many channels are spread over that time.
func TestPresenceRepeats(t *testing.T) {
	t.Parallel()
	const channels = 200
	s := startServer(t, withSettings(t, "front.channel_timeout=2"))
	c := dial(t, s.admin)
	for i := range channels {
		c.get(fmt.Sprintf("/sign?cname=c%d&expires=60", i))
	}
	for range channels {
		if r := c.reply(); r.status != 200 {
			t.Fatalf("%d %q", r.status, r.body)
		}
	}
	psub := dial(t, s.admin).get("/psub")
	psub.head()
	start := time.Now()
	var seen [channels]int
	var slots [8]int // of a quarter second each, over one period
	complete := 0
	for complete < channels {
		event := psub.chunk()
		var i int
		if n, err := fmt.Sscanf(event, "1 c%d\n", &i); n != 1 || err != nil || i >= channels {
			t.Fatalf("got %q", event)
		}
		at := time.Since(start)
		if seen[i]++; seen[i] == 2 {
			complete++
		}
		if slot := int(at / (250 * time.Millisecond)); slot < len(slots) {
			slots[slot]++
		}
		if at > 5*time.Second+servertest.Lateness {
			t.Fatalf("after %v only %d channels were announced twice", at, complete)
		}
	}
	if !servertest.Punctual {
		return // TestPresenceRepeats of channel holds the time
	}
	for i, n := range seen {
		if n > 3 {
			t.Errorf("c%d came %d times in two periods", i, n)
		}
	}
	// A busy machine may merge two quarters; all at once would be one with all.
	full := 0
	for i, n := range slots {
		if n > channels/2 {
			t.Errorf("quarter %d of the period has %d of %d: %v", i, n, channels, slots)
		}
		if n > channels/8/3 {
			full++
		}
	}
	if full < 5 {
		t.Errorf("the repeats are not spread over the period: %v", slots)
	}
}

// TestPresenceWatchers: each watcher gets each event once, a late one what comes after,
// and one that has left is missed by nobody.
func TestPresenceWatchers(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	var watchers []*client
	for range 5 {
		c := dial(t, s.admin).get("/psub")
		if head := c.head(); !strings.Contains(head, "\r\nContent-Type: text/plain") || !strings.Contains(head, "\r\nTransfer-Encoding: chunked\r\n") {
			t.Fatalf("%q", head)
		}
		watchers = append(watchers, c)
	}
	s.call("/push?cname=a&content=x")
	s.call("/push?cname=a&content=x")
	s.call("/close?cname=a")
	for _, c := range watchers {
		for _, want := range []string{"1 a\n", "0 a\n"} {
			if got := c.chunk(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	watchers[0].Close()
	late := dial(t, s.admin).get("/psub")
	late.head()
	watchers[0] = late
	for _, tc := range []struct{ query, line, encoded string }{
		{"b%0D%0A0%20x", "b%0D%0A0 x", `b\r\n0 x`},
		{"%01%7F", "%01%7F", "\\u0001\x7f"},
		{"%C3%A4%E2%82%AC%F0%9F%98%80%20%2541", "ä€😀 %2541", "ä€😀 %41"},
		{"a%250Ab", "a%250Ab", "a%0Ab"},
		{"a%0Ab", "a%0Ab", `a\nb`},
		{"%C2%85%C2%9B%E2%80%A8%C2%A0", "%C2%85%C2%9B%E2%80%A8\u00a0", "\\u0085\u009b\\u2028\u00a0"},
	} {
		s.open("sub", "cname="+tc.query).want("next_seq", tc.encoded, 1, "")
		for _, c := range watchers {
			if got := c.chunk(); got != "1 "+tc.line+"\n" {
				t.Errorf("got %q, want %q", got, "1 "+tc.line)
			}
		}
	}
}
