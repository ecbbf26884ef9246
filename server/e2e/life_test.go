package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestLifeOfAChannel: each channel is there until its time is over and freed then.
// Presence tells when; channel_timeout is one second. All channels
// live at the same time, so that the test takes as long as the longest.
func TestLifeOfAChannel(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.channel_timeout=1"))
	psub := dial(t, s.admin).get("/psub")
	psub.head()
	type life struct {
		from time.Time     // when its time began
		wait time.Duration // how long it lives then
	}
	lives := map[string]life{}
	lived := func(name string, wait time.Duration) { lives[name] = life{time.Now(), wait} }

	s.call("/push?cname=pushed&content=x")
	lived("pushed", time.Second)
	s.call("/sign?cname=signed&expires=2")
	lived("signed", 2*time.Second)
	s.call("/sign?cname=signed-default")
	lived("signed-default", time.Second)
	s.call("/sign?cname=signed-then-pushed&expires=3")
	s.call("/push?cname=signed-then-pushed&content=x") // does not shorten the wait
	lived("signed-then-pushed", 3*time.Second)
	s.call("/sign?cname=signed-twice&expires=2")
	s.call("/sign?cname=signed-twice&expires=1")
	lived("signed-twice", 2*time.Second)
	s.open("sub", "cname=polled").want("next_seq", "polled", 1, "")
	lived("polled", time.Second)
	s.call("/sign?cname=broadcast&expires=2")
	lived("broadcast", 2*time.Second)
	s.call("/sign?cname=left-signed&expires=3")
	lived("left-signed", 3*time.Second)
	s.open("stream", "cname=left-signed&seq=1").Close()
	subscribed := s.open("stream", "cname=subscribed&seq=1")
	waiting := s.open("sub", "cname=waiting&seq=1")
	again := time.NewTimer(1500 * time.Millisecond) // the pace of the publisher
	defer again.Stop()
	s.call("/sign?cname=pushed-late&expires=2")
	<-again.C
	s.call("/broadcast?content=x") // does not prolong a life
	if got := s.call("/check?cname=subscribed"); got != "{\"subscribed\": 1}\n" {
		t.Errorf("a subscribed channel: %q", got)
	}
	waiting.reply() // the broadcast
	lived("waiting", time.Second)
	subscribed.want("broadcast", "subscribed", 1, "x")
	subscribed.Close()
	lived("subscribed", time.Second)
	s.call("/push?cname=pushed-late&content=x")
	lived("pushed-late", time.Second)

	gone := map[string]bool{}
	for len(gone) < len(lives) {
		name, offline := strings.CutPrefix(strings.TrimSuffix(psub.chunk(), "\n"), "0 ")
		if !offline {
			continue
		}
		l, known := lives[name]
		if took := time.Since(l.from); !known || gone[name] || took < l.wait-20*time.Millisecond || took > l.wait+servertest.Lateness {
			t.Errorf("%s: freed after %v, want %v", name, took, l.wait)
		}
		gone[name] = true
		if got := s.call("/check?cname=" + name); got != "{}\n" {
			t.Errorf("%s is offline and alive: %q", name, got)
		}
	}
}

// TestFreedChannelBeginsAnew: seq 1, nothing stored, another token.
func TestFreedChannelBeginsAnew(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.channel_timeout=1"))
	sign := func() (token string) {
		var got struct {
			Token string
			Seq   int64
		}
		if err := json.Unmarshal([]byte(s.call("/sign?cname=a")), &got); err != nil || got.Seq != 1 {
			t.Fatalf("%+v %v", got, err)
		}
		return got.Token
	}
	first := sign()
	s.call("/push?cname=a&content=x")
	checkFor(t, patience, func() error {
		if n := s.hub.Channels(); n > 0 {
			return fmt.Errorf("%d channels are left", n)
		}
		return nil
	})
	if second := sign(); second == first {
		t.Error("the token is that of the channel before")
	}
	s.open("sub", "cname=a&seq=5").want("next_seq", "a", 1, "")
}
