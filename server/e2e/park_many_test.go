package e2e

import (
	"strings"
	"testing"

	"icomet/channel"
	"icomet/server/servertest"
)

func (c *client) command(text string) {
	c.t.Helper()
	if err := c.SendFrame(servertest.FrameText, text); err != nil {
		c.t.Fatal(err)
	}
}

// TestParkedTokenIsOfOneRequest: what the store has said of a parked request does not count
// for the one that is pipelined behind it.
func TestParkedTokenIsOfOneRequest(t *testing.T) {
	t.Parallel()
	s, e := startStoreWith(t, "front.auth=token")
	e.installAs("secret", 7, 1, 3)
	c := dial(t, s.front)
	c.sendf("%s", pipelined("/sub?cname=a&token=right", "/sub?cname=secret&seq=1&token=wrong"))
	f := e.next(t)
	e.install("a", 1, 3)
	f.done.Done(channel.Result{})
	c.expectAnswers(`200 {"type":"next_seq","cname":"a"`)
	f = e.next(t)
	if f.name != "secret" || f.token != "wrong" {
		t.Fatalf("fetches %q with %q", f.name, f.token)
	}
	f.done.Done(channel.Result{Err: channel.ErrToken})
	c.expectAnswers(`200 {"type":"401","cname":"secret"`)
}

// TestMovedSocketKeepsFrames: what a WebSocket sends while its channel is fetched is read when
// it goes on, also the rest of a frame.
func TestMovedSocketKeepsFrames(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	e.install("a", 1, 3)
	c := dial(t, s.front).upgrade("/ws?cname=a&seq=3")
	s.waitSubscribers("a", 1)
	e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 10, Type: channel.Moved})
	f := e.next(t)
	c.wantText(messageText("next_seq", "a", 10, ""))
	in := s.Stats().BytesIn
	frame := servertest.AppendFrame(nil, servertest.FrameFin|servertest.FrameText, `{"type":"ping"}`)
	if _, err := c.Write(frame[:5]); err != nil {
		t.Fatal(err)
	}
	s.waitBytes(in + 5)
	e.install("a", 10, 11)
	f.done.Done(channel.Result{})
	c.wantText(messageText("data", "a", 10, "m10"))
	if _, err := c.Write(frame[5:]); err != nil {
		t.Fatal(err)
	}
	c.wantText(`{"type":"pong"}`)
	e.hub.Feed(e.copies["a"], channel.Message{Seq: 11, Content: "live"})
	c.wantText(messageText("data", "a", 11, "live"))
}

// TestSubscribeWhileFetched: a channel that is still fetched is subscribed already, and can be
// left.
func TestSubscribeWhileFetched(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	c := dial(t, s.front).upgrade("/ws")
	c.command(`{"type":"subscribe","cname":"a"}`)
	f := e.next(t)
	c.command(`{"type":"subscribe","cname":"a"}`)
	if text, err := c.Text(); err != nil || !strings.Contains(text, "subscribed already") {
		t.Fatalf("got %q, %v", text, err)
	}
	c.command(`{"type":"unsubscribe","cname":"a"}`)
	c.until(`{"type":"unsubscribed","cname":"a","seq":0,"content":""}`)
	e.install("a", 1, 3)
	f.done.Done(channel.Result{})
	e.wantReleased(t, "a")
	if n := s.hub.Subscribers(); n != 0 {
		t.Errorf("%d subscribers", n)
	}
}

// TestLastOfManyRefused: when the last channel that could bring something is refused, the
// response ends.
func TestLastOfManyRefused(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	e.install("a", 1, 3)
	c := dial(t, s.front).get("/stream?cname=a&seq=3&cname=b")
	e.next(t).done.Done(channel.Result{Err: channel.ErrUnavailable})
	c.head()
	e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 3, Type: channel.Closed})
	c.until(`"type":"close","cname":"a","seq":3,"content":""}` + "\n\r\n")
	e.next(t).done.Done(channel.Result{Err: channel.ErrToken}) // it is tried again
	c.until(`"type":"401","cname":"b","seq":0,"content":"Token error"}` + "\n\r\n")
	if got := c.chunk(); got != "" {
		t.Errorf("behind the last refusal: %q", got)
	}
}

// TestAllOfURLRefusedLater: a WebSocket of whose channels none is left ends, also when the last
// is refused late; one that has subscribed by command stays.
func TestAllOfURLRefusedLater(t *testing.T) {
	t.Parallel()
	for _, commanded := range []bool{false, true} {
		s, e := startStore(t)
		e.install("a", 1, 3)
		c := s.ask("ws", "cname=a&seq=3&cname=b")
		e.next(t).done.Done(channel.Result{Err: channel.ErrUnavailable})
		c.head()
		if commanded {
			c.command(`{"type":"subscribe","cname":"c"}`)
			e.next(t).done.Done(channel.Result{Err: channel.ErrToken})
			c.wantText(`{"type":"401","cname":"c","seq":0,"content":"Token error"}`)
		}
		e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 3, Type: channel.Closed})
		c.wantText(`{"type":"close","cname":"a","seq":3,"content":""}`)
		e.next(t).done.Done(channel.Result{Err: channel.ErrToken}) // it is tried again
		c.wantText(`{"type":"401","cname":"b","seq":0,"content":"Token error"}`)
		if !commanded {
			c.wantClosed(1000)
			continue
		}
		c.command(`{"type":"ping"}`)
		c.wantText(`{"type":"pong"}`)
	}
}
