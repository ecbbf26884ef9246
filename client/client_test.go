package client_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/client"
	"icomet/server/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// inbox runs a Subscriber and stores what it yields.
type inbox struct {
	t        *testing.T
	messages chan client.Message
	failures chan error // of OnError
	end      chan error // of Messages
	stop     context.CancelFunc
}

func receive(t *testing.T, sub *client.Subscriber) *inbox {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &inbox{
		t: t, messages: make(chan client.Message, 1000), failures: make(chan error, 1000),
		end: make(chan error, 1), stop: cancel,
	}
	if sub.MinBackoff == 0 {
		sub.MinBackoff = 20 * time.Millisecond
	}
	sub.OnError = func(err error, _ time.Duration) { b.failures <- err }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				b.end <- err
				return
			}
			b.messages <- m
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return b
}

func wait[T any](t *testing.T, c chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(servertest.Patience):
		t.Fatalf("no %T comes within %v", c, servertest.Patience)
		panic("not reached")
	}
}

// want takes one message for each of the contents, and compares them.
func (b *inbox) want(contents ...string) (got []client.Message) {
	b.t.Helper()
	for _, c := range contents {
		m := wait(b.t, b.messages)
		if m.Content != c {
			b.t.Fatalf("got %+v, want %q; failures %d", m, c, len(b.failures))
		}
		got = append(got, m)
	}
	return got
}

func numbered(from, to int) (list []string) {
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprint("m", i))
	}
	return list
}

func pushAll(s *servertest.Server, channel string, contents []string) {
	for _, c := range contents {
		s.Push(channel, c)
	}
}

// TestTransports: each transport brings the same messages, although connections are cut.
func TestTransports(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			proxy := servertest.NewProxy(t, s.Front)
			channel := "über " + string(transport)
			pushAll(s, channel, numbered(1, 3))
			b := receive(t, &client.Subscriber{URL: proxy.URL + "/", Channel: channel, Seq: 1, Transport: transport})
			b.want(numbered(1, 3)...)
			for round := range 4 {
				proxy.Cut()
				pushAll(s, channel, numbered(4+5*round, 8+5*round))
				b.want(numbered(4+5*round, 8+5*round)...)
			}
			s.WaitSubscribers(channel, 1)
			const awkward = "</script>\r\n\u2028 \"quoted\" \\ 😀"
			s.Push(channel, awkward)
			s.Call("/broadcast", "content", "to all")
			last := b.want(awkward, "to all")[1]
			if last.Type != "broadcast" || last.Channel != channel || last.Seq != 25 || last.Lost != 0 || last.Restarted {
				t.Errorf("got %+v", last)
			}
			s.WaitSubscribers(channel, 1) // between two polls a client is not told of a close
			s.Call("/close", "cname", channel)
			if err := wait(t, b.end); err != client.ErrClosed {
				t.Errorf("ended with %v, want ErrClosed", err)
			}
		})
	}
}

func TestFromNowAndAgain(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	s.Push("a", "before")
	sub := &client.Subscriber{URL: s.Front, Channel: "a"}
	b := receive(t, sub)
	s.WaitSubscribers("a", 1)
	s.Push("a", "m1")
	b.want("m1")
	b.stop()
	if err := wait(t, b.end); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	s.Push("a", "m2")
	receive(t, sub).want("m2") // continues where it was
}

// TestLeaveLoop: leaving the loop ends the connection.
func TestLeaveLoop(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	pushAll(s, "a", numbered(1, 3))
	sub := &client.Subscriber{URL: s.Front, Channel: "a", Seq: 1}
	for m, err := range sub.Messages(t.Context()) {
		if err != nil || m.Content != "m1" {
			t.Fatalf("%+v %v", m, err)
		}
		break
	}
	s.WaitSubscribers("a", 0)
	if sub.Seq != 2 {
		t.Errorf("Seq is %d", sub.Seq)
	}
}

func TestLostAndRestarted(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=4", "ICOMET_FRONT_CHANNEL_TIMEOUT=600",
		fmt.Sprint("ICOMET_FRONT_LISTEN=127.0.0.1:", redistest.Port(t)),
		fmt.Sprint("ICOMET_ADMIN_LISTEN=127.0.0.1:", redistest.Port(t)))
	pushAll(s, "a", numbered(1, 10))
	// A number alone does not say in which life of the channel it is.
	b := receive(t, &client.Subscriber{URL: s.Front, Channel: "a", Seq: 3})
	got := b.want(numbered(7, 10)...)
	if got[0].Lost != -1 || got[0].Reason != client.ReasonEpoch || got[0].Restarted || got[1].Lost != 0 {
		t.Errorf("got %+v", got)
	}
	b.stop()
	b = receive(t, &client.Subscriber{URL: s.Front, Channel: "a", From: client.Position{Epoch: got[0].Epoch, Seq: 2}})
	got = b.want(numbered(7, 10)...)
	if got[0].Lost != 4 || got[0].Reason != client.ReasonTrimmed || got[1].Lost != 0 {
		t.Errorf("got %+v", got)
	}
	s.Kill()
	s.Restart()
	pushAll(s, "a", numbered(1, 2))
	got = b.want(numbered(1, 2)...)
	if !got[0].Restarted || got[0].Lost != -1 || got[1].Restarted || got[1].Lost != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	admin := client.Admin{URL: s.Admin}
	asked := []int{}
	b := receive(t, &client.Subscriber{
		URL: s.Front, Channel: "a",
		Token: func(ctx context.Context, denied int) (string, error) {
			asked = append(asked, denied)
			switch denied {
			case 0:
				return "wrong", nil
			case 1:
				return "", errors.New("no token today")
			}
			signed, err := admin.Sign(ctx, "a", time.Minute)
			return signed.Token, err
		},
	})
	// Token fails, and is asked again with the same number until it succeeds.
	if err := wait(t, b.failures); !strings.Contains(err.Error(), "no token today") {
		t.Errorf("failure %v", err)
	}
	b.stop()
	wait(t, b.end)
	if !slices.Equal(asked[:2], []int{0, 1}) {
		t.Errorf("denied %v", asked)
	}

	b = receive(t, &client.Subscriber{
		URL: s.Front, Channel: "a",
		Token: func(ctx context.Context, denied int) (string, error) {
			if denied == 0 {
				return "wrong", nil
			}
			signed, err := admin.Sign(ctx, "a", time.Minute)
			return signed.Token, err
		},
	})
	s.WaitSubscribers("a", 1)
	s.Push("a", "m1")
	b.want("m1")

	b = receive(t, &client.Subscriber{URL: s.Front, Channel: "a"})
	if err := wait(t, b.end); err != client.ErrUnauthorized {
		t.Errorf("ended with %v, want ErrUnauthorized", err)
	}
}

func TestTooMany(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_MAX_SUBSCRIBERS_PER_CHANNEL=1")
	receive(t, &client.Subscriber{URL: s.Front, Channel: "a"})
	s.WaitSubscribers("a", 1)
	sub := &client.Subscriber{URL: s.Front, Channel: "a"}
	b := receive(t, sub)
	if err := wait(t, b.failures); err != client.ErrTooMany {
		t.Errorf("failure %v, want ErrTooMany", err)
	}
}

// TestSilence: a dead connection is given up, and the next one goes on.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, transport := range []client.Transport{client.Stream, client.WebSocket} {
		s := servertest.Start(t, "ICOMET_FRONT_POLLING_TIMEOUT=2")
		proxy := servertest.NewProxy(t, s.Front)
		b := receive(t, &client.Subscriber{URL: proxy.URL, Channel: "a", Transport: transport})
		s.WaitSubscribers("a", 1)
		s.Push("a", "m1")
		b.want("m1")
		proxy.Freeze(true)
		if err := wait(t, b.failures); !strings.Contains(err.Error(), "silent for 3.5s") {
			t.Errorf("%s: failure %v", transport, err)
		}
		s.Push("a", "m2")
		proxy.Freeze(false)
		proxy.Cut()
		b.want("m2")
	}
}

func TestWrongCalls(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, sub := range []*client.Subscriber{
		{URL: s.Front}, {URL: s.Front, Channel: strings.Repeat("a", 256)}, {URL: s.Admin, Channel: "a"},
		{URL: s.Front, Channel: "a", Transport: "carrier pigeon"},
	} {
		b := receive(t, sub)
		err := wait(t, b.end)
		if status, ok := errors.AsType[*client.StatusError](err); !ok || status.Status/100 != 4 || status.Text == "" {
			t.Errorf("%+v: ended with %v", sub, err)
		}
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_ADMIN_KEYS=sesame", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	a := client.Admin{URL: s.Admin, Key: "sesame"}
	ctx := t.Context()
	signed, err := a.Sign(ctx, "a b", 90*time.Second)
	if err != nil || signed.Channel != "a b" || signed.Seq != 1 || len(signed.Token) != 32 ||
		signed.Expires != 90*time.Second || signed.Silence != 30*time.Second {
		t.Errorf("%+v %v", signed, err)
	}
	for _, err := range []error{
		a.Push(ctx, "a b", `raw "text"`), a.Pub(ctx, "a b", `encoded \"text\"`), a.Broadcast(ctx, "all"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	contents := []string{}
	for m, err := range (&client.Subscriber{URL: s.Front, Channel: "a b", Seq: 1}).Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if contents = append(contents, m.Content); len(contents) == 3 {
			n, err := a.Subscribers(ctx, "a b")
			if n != 1 || err != nil {
				t.Errorf("%d subscribers, %v", n, err)
			}
			break
		}
	}
	if want := []string{`raw "text"`, `encoded "text"`, "all"}; !reflect.DeepEqual(contents, want) {
		t.Errorf("got %q", contents)
	}
	if totals, err := a.Totals(ctx); err != nil || totals.Channels != 1 || totals.Version == "" {
		t.Errorf("%+v %v", totals, err)
	}
	if stats, err := a.Stats(ctx); err != nil || !strings.Contains(string(stats), `"publishes_total":2`) {
		t.Errorf("%s %v", stats, err)
	}
	if alive, err := a.Alive(ctx, "a b"); !alive || err != nil {
		t.Errorf("alive %v %v", alive, err)
	}
	if next, err := a.Clear(ctx, "a b"); next != 4 || err != nil {
		t.Errorf("clear %d %v", next, err)
	}
	if next, err := a.Close(ctx, "a b"); next != 4 || err != nil {
		t.Errorf("close %d %v", next, err)
	}
	_, err = a.Close(ctx, "a b")
	if status, ok := errors.AsType[*client.StatusError](err); !ok || status.Status != 404 || !strings.Contains(err.Error(), "not connected") {
		t.Errorf("close again: %v", err)
	}
	if alive, err := a.Alive(ctx, "a b"); alive || err != nil {
		t.Errorf("alive %v %v", alive, err)
	}
	a.Key = "wrong"
	if err := a.Push(ctx, "a", ""); err == nil || !strings.HasPrefix(err.Error(), "HTTP 401: ") {
		t.Errorf("a wrong key: %v", err)
	}
}
