package reactor

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestIdleSubscriberKeepsNothing: an idle subscriber has a Conn and nothing else, also when its
// request came in pieces and when it has sent commands.
func TestIdleSubscriberKeepsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, 1, func(set *Settings) { set.PollingTimeout, set.Commands = time.Second, 1000 })
	inspect := func(look func(*Conn) error) (err error) {
		s.onAllLoops(func(l *loop) {
			for _, c := range l.conns() {
				if err == nil {
					err = look(c)
				}
			}
		})
		return err
	}
	for _, kind := range []string{"stream", "sse", "ws"} {
		c := dial(t, s.front)
		fields := ""
		if kind == "ws" {
			fields = servertest.WebSocketFields
		}
		before := s.Counters()[0].BytesIn.Load()
		c.send("GET /" + kind + "?cname=a")
		s.checkFor(func() error { // the first piece has been read
			if n := s.Counters()[0].BytesIn.Load(); n == before {
				return errors.New("nothing has come")
			}
			return nil
		})
		c.send(" HTTP/1.1\r\nHost: test\r\n" + fields + "\r\n")
		if _, err := c.Head(); err != nil {
			t.Fatal(err)
		}
		s.waitSubscribers("a", 1)
		if kind == "ws" {
			if err := c.SendFrame(servertest.FrameText, "ping"); err != nil {
				t.Fatal(err)
			}
			if text, err := c.Text(); err != nil || text != "pong" {
				t.Fatalf("heard %q, %v", text, err)
			}
		}
		s.checkFor(func() error { // its rate of commands is forgotten soon
			return inspect(func(conn *Conn) error {
				if conn.ex != nil || conn.bundle != nil {
					return fmt.Errorf("%s keeps %+v and %+v", kind, conn.ex, conn.bundle)
				}
				return nil
			})
		})
		c.Close()
		s.waitSubscribers("a", 0)
		s.checkFor(s.checkIdle)
	}
}
