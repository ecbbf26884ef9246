package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"icomet/client"
	"icomet/server/servertest"
)

// TestMultiOldServer: a server that follows only the first of several channels is noticed
// by whatever it sends first; one channel it can serve.
func TestMultiOldServer(t *testing.T) {
	t.Parallel()
	for _, transport := range overHTTP {
		for _, first := range []string{control("next_seq", 5), message(5), control("noop", 0)} {
			s := startScript(t, framed(transport, first))
			sub := &client.MultiSubscriber{URL: s.URL, Transport: transport}
			box := receiveMulti(t, sub, "a", "b")
			box.add(all("a", "b")...)
			if err := wait(t, box.end); !errors.Is(err, client.ErrTooOld) || client.Temporary(err) || len(box.messages["a"]) > 0 {
				t.Errorf("%s: %s: ended with %v after %d messages", transport, first, err, len(box.messages["a"]))
			}
			if got := sub.Channels(); len(got) != 2 || got[0] != all("a")[0] {
				t.Errorf("%s: at %+v", transport, got)
			}
		}
		s := startScript(t, framed(transport, control("next_seq", 5)), framed(transport, message(5)))
		box := receiveMulti(t, &client.MultiSubscriber{URL: s.URL, Transport: transport}, "a")
		box.add(client.Start{Channel: "a"})
		if m := box.want("a", "m5")[0]; m.Epoch != "" {
			t.Errorf("%s: %+v", transport, m)
		}
	}
}

// TestMultiParameters: each channel has its own parameters behind it.
func TestMultiParameters(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		s := startScript(t, answer{status: http.StatusServiceUnavailable})
		sub := &client.MultiSubscriber{URL: s.URL + "/?tenant=x", Transport: transport}
		sub.Token = func(_ context.Context, channel string, _ int) (string, error) { return "t&" + channel, nil }
		box := receiveMulti(t, sub)
		box.add(client.Start{Channel: "a", From: at(epoch, 5)}, client.Start{Channel: "b c", Last: 3}, client.Start{Channel: "d", Seq: 7})
		asked := epoch
		if transport == client.Poll {
			asked = "" // it judges itself
		}
		want := "tenant=x&cname=a&seq=6&epoch=" + asked + "&token=t%26a&cname=b+c&seq=0&epoch=&last=3&token=t%26b+c&cname=d&seq=7&epoch=&token=t%26d"
		for range 2 {
			if got := wait(t, s.requests); got.URL.RawQuery != want || got.Method != http.MethodGet {
				t.Errorf("%s: %s %s,\nwant %s", transport, got.Method, got.URL.RawQuery, want)
			}
		}
	}
}

// commandServer accepts one WebSocket, and hands over its commands and what is to be sent.
type commandServer struct {
	t        *testing.T
	url      string
	commands chan string
	send     chan string
}

func startCommands(t *testing.T) *commandServer {
	t.Helper()
	s := &commandServer{t: t, commands: make(chan string, 1000), send: make(chan string, 100)}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/ws" {
			return
		}
		conn, err := websocket.Accept(w, req, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		s.commands <- req.URL.Query().Get("cname")
		go func() {
			for text := range s.send {
				_ = conn.Write(context.Background(), websocket.MessageText, []byte(text)) // the test waits for what does not come
			}
		}()
		for {
			_, text, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			s.commands <- string(text)
		}
	}))
	t.Cleanup(func() {
		close(s.send)
		web.Close()
	})
	s.url = web.URL
	return s
}

func (s *commandServer) want(command string) {
	s.t.Helper()
	if got := wait(s.t, s.commands); got != command {
		s.t.Fatalf("got %s, want %s", got, command)
	}
}

func named(text, name string) string {
	return strings.Replace(text, `"cname":"a"`, `"cname":"`+name+`"`, 1)
}

// TestMultiCommands: of a channel that is removed and added again over WebSocket, only what
// follows the last command counts.
func TestMultiCommands(t *testing.T) {
	t.Parallel()
	s := startCommands(t)
	sub := &client.MultiSubscriber{URL: s.url, Transport: client.WebSocket}
	box := receiveMulti(t, sub, "a", "b", "c")
	box.add(all("a")...)
	s.want("a")
	s.send <- position(epoch, 1, 0, "")
	s.send <- message(1)
	box.want("a", "m1")

	box.add(client.Start{Channel: "b", From: at(another, 4)})
	s.want(`{"type":"subscribe","cname":"b","seq":5,"epoch":"` + another + `"}`)
	s.send <- named(position(another, 5, 0, ""), "b")
	s.send <- named(message(5), "b")
	box.want("b", "m5")
	last, _ := sub.Remove("b")
	s.want(`{"type":"unsubscribe","cname":"b"}`)
	box.add(last) // not sent until the unsubscribe is answered
	s.send <- named(message(6), "b")
	s.send <- named(position(epoch, 1, -1, "epoch"), "b")
	s.send <- named(message(1), "b")
	s.send <- message(2)
	box.want("a", "m2")
	if len(s.commands) > 0 {
		t.Errorf("sent %s", <-s.commands)
	}
	s.send <- `{"type":"unsubscribed","cname":"b","seq":2,"content":""}`
	s.want(`{"type":"subscribe","cname":"b","seq":6,"epoch":"` + another + `"}`)
	s.send <- named(position(another, 6, 0, ""), "b")
	s.send <- named(message(6), "b")
	box.want("b", "m6")

	box.add(client.Start{Channel: "c", Last: 2})
	s.want(`{"type":"subscribe","cname":"c","last":2}`)
	s.send <- `{"type":"400","cname":"c","seq":0,"content":"why not"}`
	if l := wait(t, box.left); l.last.Channel != "c" || l.err.Error() != "HTTP 400: why not" {
		t.Errorf("%+v", l)
	}

	sub.Remove("b") // which has ended just now
	s.want(`{"type":"unsubscribe","cname":"b"}`)
	s.send <- named(control("end", 7), "b")
	s.send <- `{"type":"400","cname":"b","seq":0,"content":"the channel is not subscribed"}`
	box.add(all("b")...)
	s.want(`{"type":"subscribe","cname":"b","seq":1}`)
	s.send <- named(position(another, 7, 0, ""), "b")
	s.send <- named(control("end", 7), "b")
	if l := wait(t, box.left); l.err != client.ErrEnded || len(box.left) > 0 {
		t.Errorf("%+v", l)
	}
}

// TestMultiCommandRate: the client keeps to the rate that the server allows by default.
func TestMultiCommandRate(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_LIMITS_CHANNELS_PER_CONNECTION=1000")
	sub := &client.MultiSubscriber{URL: s.Front, Transport: client.WebSocket}
	names := []string{"first"}
	for n := range 130 {
		names = append(names, "c"+string(rune('A'+n/26))+string(rune('a'+n%26)))
	}
	box := receiveMulti(t, sub, names...)
	box.add(all("first")...)
	s.WaitSubscribers("first", 1)
	for _, name := range names[1:] {
		box.add(all(name)...)
	}
	for _, name := range names {
		wait(t, box.told[name])
	}
	if len(box.failures) > 0 {
		t.Errorf("failure %v", <-box.failures)
	}
}

// TestWebSocketFailures: a token is in no error; an answer that is no WebSocket, and the
// close of one, say what they are.
func TestWebSocketFailures(t *testing.T) {
	t.Parallel()
	dead := servertest.NewProxy(t, "http://127.0.0.1:1") // accepts and closes
	token := func(context.Context, int) (string, error) { return "secret", nil }
	b := receive(t, &client.Subscriber{URL: dead.URL, Channel: "a", Transport: client.WebSocket, Token: token})
	if err := wait(t, b.failures); strings.Contains(err.Error(), "secret") {
		t.Errorf("failure %v", err)
	}
	cut := startScript(t, framed(client.WebSocket, message(1)))
	b = receive(t, &client.Subscriber{URL: cut.URL, Channel: "a", Seq: 1, Transport: client.WebSocket})
	if err := wait(t, b.failures); err.Error() != "unexpected EOF" {
		t.Errorf("failure %v", err)
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode("hello") }))
	t.Cleanup(plain.Close)
	b = receive(t, &client.Subscriber{URL: plain.URL, Channel: "a", Transport: client.WebSocket})
	if err := wait(t, b.end); err.Error() != "HTTP 200: the answer is no WebSocket" {
		t.Errorf("ended with %v", err)
	}
	closing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if conn, err := websocket.Accept(w, req, nil); err == nil {
			_ = conn.Close(websocket.StatusPolicyViolation, "too many commands") // the test waits for what does not come
		}
	}))
	t.Cleanup(closing.Close)
	b = receive(t, &client.Subscriber{URL: closing.URL, Channel: "a", Transport: client.WebSocket, Silence: time.Hour})
	if err := wait(t, b.failures); err.Error() != "the server closed the WebSocket: 1008 too many commands" {
		t.Errorf("failure %v", err)
	}
}
