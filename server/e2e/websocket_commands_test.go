package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/servertest"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	class := config.ChannelClass{Match: "p*", BufferSize: 10, Timeout: 60, MaxSubscribers: 1, Auth: "token"}
	s := startServer(t, func(c *config.Config) {
		c.Channels = []config.ChannelClass{class}
		c.Limits.ChannelsPerConnection = 3
		c.Limits.Commands = 1000
	})
	a := s.epochOf("a")
	s.push("a", "2")
	token := s.sign("p")
	w := s.socket("/ws")
	for _, tc := range []struct {
		say  string
		hear []string
	}{
		{`{"type":"ping"}`, []string{`{"type":"pong"}`}},
		{`{"type":"subscribe","cname":"a"}`, []string{`{"type":"position","cname":"a","seq":3,"content":"","epoch":"` + a + `","recovered":true,"lost":0}`}},
		{`{"type":"subscribe","cname":"a"}`, []string{`{"type":"400","cname":"a","seq":0,"content":"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`{"type":"unsubscribed","cname":"a","seq":3,"content":""}`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`"type":"400","cname":"a"`}},
		{`{"type":"subscribe","cname":"a","seq":1,"epoch":"` + a + `"}`, []string{`"recovered":true`, `"seq":1,"content":"epoch"`, `"seq":2,"content":"2"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`{"type":"unsubscribed","cname":"a","seq":3,`}},
		{` { "cname" : "a" , "seq" : "2", "type":"subscribe", "epoch":"` + a + `","more":"x" } `, []string{`"recovered":true`, `"seq":2,"content":"2"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`unsubscribed`}},
		{`{"type":"subscribe","cname":"a","last":1}`, []string{`"seq":2,"content":"","epoch":"` + a + `","recovered":true`, `"seq":2,"content":"2"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`unsubscribed`}},
		{`{"type":"subscribe","cname":"a","seq":null,"epoch":null,"token":null,"last":null,"more":null}`, []string{`{"type":"position","cname":"a","seq":3,"content":"","epoch":"` + a + `","recovered":true,"lost":0}`}},
		{`{"type":null,"cname":"a"}`, []string{`"type":"400","cname":"a"`}},
		{`{"type":"subscribe","cname":null}`, []string{`"type":"400","cname":""`}},
		{`{"type":"subscribe","cname":"p"}`, []string{`{"type":"401","cname":"p","seq":0,"content":"Token error"}`}},
		{`{"type":"subscribe","cname":"p","token":"` + token + `"}`, []string{`"type":"position","cname":"p"`}},
		{`{"type":"subscribe","cname":"\u00e9\"\\"}`, []string{`"type":"position","cname":"é\"\\"`}},
		{`{"type":"subscribe","cname":"one more"}`, []string{`{"type":"400","cname":"one more","seq":0,"content":"too many`}},
		{`{"type":"unsubscribe","cname":"\u00e9\"\\"}`, []string{`"type":"unsubscribed","cname":"é\"\\"`}},
		{`{"type":"subscribe","cname":"one more"}`, []string{`"type":"position","cname":"one more"`}},
		{`{"type":"publish","cname":"a","content":"x"}`, []string{`"type":"400","cname":"a"`}},
		{`{"type":"subscribe"}`, []string{`{"type":"400","cname":"","seq":0,"content":"cname`}},
		{`{"type":"unsubscribe"}`, []string{`{"type":"400","cname":"","seq":0,"content":"cname`}},
		{`{"cname":"a"}`, []string{`"type":"400","cname":"a"`}},
		{`{"type":"subscribe","cname":""}`, []string{`"type":"400","cname":""`}},
		{`{"type":"subscribe","cname":"x\u0000"}`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"` + strings.Repeat("x", 256) + `"}`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"b","seq":"x"}`, []string{`"type":"400","cname":"b","seq":0,"content":"seq`}},
		{`{"type":"subscribe","cname":"b","seq":1.5}`, []string{`"type":"400","cname":"b","seq":0,"content":"seq`}},
		{`{"type":"subscribe","cname":"b","seq":9223372036854775808}`, []string{`"type":"400","cname":"b"`}},
		{`{"type":"subscribe","cname":"b","epoch":"DEADBEEF"}`, []string{`"type":"400","cname":"b","seq":0,"content":"epoch`}},
		{`{"type":"subscribe","cname":"b","last":-1}`, []string{`"type":"400","cname":"b","seq":0,"content":"last`}},
		{``, []string{`"type":"400","cname":""`}},
		{`null`, []string{`"type":"400"`}},
		{`[]`, []string{`"type":"400"`}},
		{`"subscribe"`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"b"`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"b"}x`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":["b"]}`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"b","seq":null}`, []string{`"type":"400"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`unsubscribed`}},
		{`{"type":"unsubscribe","cname":"p"}`, []string{`unsubscribed`}},
		{`{"type":"unsubscribe","cname":"one more"}`, []string{`unsubscribed`}},
		{`{"type":"ping"}`, []string{`{"type":"pong"}`}}, // without channels it stays
	} {
		w.say("%s", tc.say)
		for _, part := range tc.hear {
			text, err := w.Text()
			if err != nil || !strings.Contains(text, part) {
				t.Fatalf("%s: heard %q, %v; want %q", tc.say, text, err, part)
			}
		}
	}
	if n := s.hub.Subscribers(); n != 0 {
		t.Errorf("%d subscribers", n)
	}
	_ = w.SendFrame(servertest.FrameClose, "\x03\xe8bye")
	w.hearClose(1000)
	checkFor(t, patience, s.checkIdle)
}

func (s *testServer) sign(cname string) (token string) {
	s.t.Helper()
	answer := s.call("/sign?cname=" + cname)
	_, rest, _ := strings.Cut(answer, `"token":"`)
	if token, _, _ = strings.Cut(rest, `"`); len(token) != 32 {
		s.t.Fatal(answer)
	}
	return token
}

func TestCommandsOfOneChannel(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	w := s.socket("/ws?cname=a&seq=1")
	w.say(`{"type":"subscribe","cname":"a"}`)
	w.hear(`"type":"400","cname":"a"`)
	s.push("a", "x")
	w.hear(`"cname":"a","seq":1`)
	w.say(`{"type":"subscribe","cname":"b","seq":1}`)
	w.hear(`"type":"position","cname":"b","seq":1`)
	s.push("b", "y")
	w.hear(`"cname":"b","seq":1`)
	s.call("/close?cname=a")
	w.hear(`"type":"close","cname":"a","seq":2`)
	w.say(`{"type":"subscribe","cname":"a"}`) // closed, not subscribed any more
	w.hear(`"type":"position","cname":"a","seq":1`)
	w.say(`{"type":"unsubscribe","cname":"b"}`)
	w.hear(`"type":"unsubscribed","cname":"b","seq":2`)
	s.call("/end?cname=a&content=z")
	w.hear(`"content":"z"`, `{"type":"end","cname":"a","seq":2,"content":""}`)
	w.hearClose(1000)

	// Every unsubscribe leaves the connection, every refusal too.
	w = s.socket("/ws?cname=b&seq=1&epoch=")
	w.hear(`"recovered":true`, `"content":"y"`)
	w.say(`{"type":"unsubscribe","cname":"b"}`)
	w.hear(`unsubscribed`)
	w.say(`{"type":"subscribe","cname":"a"}`) // has ended
	w.hear(`"type":"position","cname":"a","seq":2`, `"type":"end","cname":"a"`)
	w.hearClose(1000)
	checkFor(t, patience, s.checkIdle)
}

func TestCommandsWithinTheRate(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	w := s.socket("/ws")
	for range 100 {
		w.say(`{"type":"ping"}`)
	}
	for range 100 {
		w.hear("pong")
	}
	for range 3 {
		from := time.Since(s.reactor.Started())
		checkFor(t, patience, func() error {
			if time.Since(s.reactor.Started()) < from+11*tickLength {
				return errors.New("not yet")
			}
			return nil
		})
		for range 20 {
			w.say(`{"type":"ping"}`)
			w.hear("pong")
		}
	}
}
