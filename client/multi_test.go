package client_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/client"
	"icomet/server/servertest"
)

// left is what OnEnd is told.
type left struct {
	last client.Start
	err  error
}

// multiBox runs a MultiSubscriber and stores what it yields, for each channel.
type multiBox struct {
	t        *testing.T
	sub      *client.MultiSubscriber
	messages map[string]chan client.Message
	told     map[string]chan client.Recovery
	failures chan error
	left     chan left
	end      chan error
	stop     context.CancelFunc
}

// receiveMulti expects nothing of other channels than names.
func receiveMulti(t *testing.T, sub *client.MultiSubscriber, names ...string) *multiBox {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &multiBox{
		t: t, sub: sub, messages: map[string]chan client.Message{}, told: map[string]chan client.Recovery{},
		failures: make(chan error, 10000), left: make(chan left, 100), end: make(chan error, 1), stop: cancel,
	}
	for _, name := range names {
		b.messages[name], b.told[name] = make(chan client.Message, 10000), make(chan client.Recovery, 10000)
	}
	if sub.MinBackoff == 0 {
		sub.MinBackoff, sub.MaxBackoff = 20*time.Millisecond, time.Second
	}
	sub.OnError = func(err error, _ time.Duration) { b.failures <- err }
	sub.OnPosition = func(channel string, r client.Recovery) { b.told[channel] <- r }
	sub.OnEnd = func(last client.Start, err error) { b.left <- left{last, err} }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				b.end <- err
				return
			}
			b.messages[m.Channel] <- m
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return b
}

func (b *multiBox) want(channel string, contents ...string) (got []client.Message) {
	b.t.Helper()
	for _, c := range contents {
		m := wait(b.t, b.messages[channel])
		if m.Content != c {
			b.t.Fatalf("%s: got %+v, want %q; failures %d", channel, m, c, len(b.failures))
		}
		got = append(got, m)
	}
	return got
}

// recovered takes what was told of the channel, which has to be that nothing is missing
// after that number.
func (b *multiBox) recovered(channel string, seq int64) {
	b.t.Helper()
	if r := wait(b.t, b.told[channel]); !r.Recovered || r.Position.Seq != seq {
		b.t.Errorf("%s: told %+v, want recovered at %d", channel, r, seq)
	}
}

func (b *multiBox) add(channels ...client.Start) {
	b.t.Helper()
	if err := b.sub.Add(channels...); err != nil {
		b.t.Error(err)
	}
}

func all(names ...string) (list []client.Start) {
	for _, name := range names {
		list = append(list, client.Start{Channel: name, Seq: 1})
	}
	return list
}

// TestMulti: on every transport several channels come over one connection, through cuts and
// a kill of the server, each with its own truth about what is missing.
func TestMulti(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=4", "ICOMET_FRONT_CHANNEL_TIMEOUT=600",
				"ICOMET_ENGINE_SNAPSHOT="+filepath.Join(t.TempDir(), "snapshot"),
				fmt.Sprint("ICOMET_FRONT_LISTEN=127.0.0.1:", redistest.Port(t)),
				fmt.Sprint("ICOMET_ADMIN_LISTEN=127.0.0.1:", redistest.Port(t)))
			proxy := servertest.NewProxy(t, s.Front)
			const b, c = "ü&b=1", "c"
			sub := &client.MultiSubscriber{URL: proxy.URL, Transport: transport}
			box := receiveMulti(t, sub, "a", b, c)
			box.add(all("a", b, c)...)
			for _, name := range []string{"a", b, c} {
				box.recovered(name, 0)
				pushAll(s, name, numbered(1, 2))
			}
			for _, name := range []string{"a", b, c} {
				box.want(name, numbered(1, 2)...)
			}
			if n := proxy.Connections(); n > 2 { // one, and perhaps the one that asked for the heartbeat's period
				t.Errorf("%d connections", n)
			}

			proxy.Away(func() {
				pushAll(s, "a", numbered(3, 4))
				pushAll(s, b, numbered(3, 9))
			})
			box.want("a", numbered(3, 4)...)
			box.recovered("a", 2)
			box.recovered(c, 2)
			if got := box.want(b, numbered(6, 9)...)[0]; got.Lost != 3 || got.Reason != client.ReasonTrimmed {
				t.Errorf("after a break: %+v", got)
			}
			if r := wait(t, box.told[b]); r.Recovered || r.Lost != 3 || r.Position.Seq != 5 {
				t.Errorf("after a break: %+v", r)
			}

			proxy.Away(func() { // its snapshot has all of it
				s.Stop()
				s.Restart()
				pushAll(s, c, numbered(3, 3))
			})
			box.recovered("a", 4)
			box.recovered(b, 9)
			box.recovered(c, 2)
			box.want(c, "m3")

			proxy.Away(func() {
				s.Kill()
				s.Restart()
				pushAll(s, "a", numbered(1, 6)) // the numbers alone look right
				pushAll(s, b, numbered(1, 1))
			})
			got := append(box.want("a", numbered(3, 6)...)[:1], box.want(b, "m1")...)
			for _, m := range got {
				if m.Lost != -1 || !m.Restarted || m.Reason != client.ReasonEpoch {
					t.Errorf("after a kill: %+v", m)
				}
			}
			for _, name := range []string{"a", b, c} {
				if r := wait(t, box.told[name]); r.Recovered || r.Lost != -1 || r.Reason != client.ReasonEpoch {
					t.Errorf("%s after a kill: %+v", name, r)
				}
			}
			endsOneByOne(t, s, box, "a", b, c)
		})
	}
}

// endsOneByOne: a channel that has ended or is closed costs only itself; with the last one
// Messages ends.
func endsOneByOne(t *testing.T, s *servertest.Server, box *multiBox, a, b, c string) {
	t.Helper()
	for _, name := range []string{a, b, c} {
		s.WaitSubscribers(name, 1)
	}
	s.Call("/end", "cname", a, "content", "the last")
	box.want(a, "the last")
	if l := wait(t, box.left); l.last.Channel != a || l.last.From.Seq != 7 || l.err != client.ErrEnded {
		t.Errorf("the end: %+v", l)
	}
	s.WaitSubscribers(c, 1)
	s.Call("/close", "cname", c)
	if l := wait(t, box.left); l.last.Channel != c || l.err != client.ErrClosed {
		t.Errorf("the close: %+v", l)
	}
	s.WaitSubscribers(b, 1)
	s.Push(b, "still there")
	if got := box.want(b, "still there")[0]; got.Lost != 0 {
		t.Errorf("after the others: %+v", got)
	}
	if list := box.sub.Channels(); len(list) != 1 || list[0].Channel != b || list[0].From.Seq != 2 {
		t.Errorf("left are %+v", list)
	}
	s.WaitSubscribers(b, 1)
	s.Call("/end", "cname", b)
	if l := wait(t, box.left); l.last.Channel != b || l.err != client.ErrEnded {
		t.Errorf("the end: %+v", l)
	}
	if err := wait(t, box.end); err != client.ErrEnded {
		t.Errorf("ended with %v", err)
	}
}

// TestMultiChanges: channels are added and removed while it runs, and the others lose
// nothing; a channel that comes back goes on where it was.
func TestMultiChanges(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=10000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
			sub := &client.MultiSubscriber{URL: s.Front, Transport: transport}
			names := []string{"steady", "x0", "x1", "x2", "x3"}
			box := receiveMulti(t, sub, names...)
			box.add(all("steady")...)
			publisher := client.Admin{URL: s.Admin}
			done := make(chan error, 1)
			const count = 400
			go func() {
				for n := 1; n <= count; n++ {
					for _, name := range names {
						if err := publisher.Push(t.Context(), name, fmt.Sprint("m", n)); err != nil {
							done <- err
							return
						}
					}
				}
				done <- nil
			}()
			positions := map[string]client.Start{}
			seen := map[string]int{}
			for round := range 24 {
				name := names[1+round%4]
				where, there := positions[name]
				if !there {
					where = client.Start{Channel: name, Seq: 1}
				}
				box.add(where)
				if round > 2 { // three at a time
					out := names[1+(round+1)%4]
					last, there := sub.Remove(out)
					if !there {
						t.Fatalf("%s is not there", out)
					}
					positions[out] = last
				}
				box.want("steady", fmt.Sprint("m", 1+seen["steady"])) // some time passes
				seen["steady"]++
			}
			for _, name := range names[1:] {
				if !slices.ContainsFunc(sub.Channels(), func(c client.Start) bool { return c.Channel == name }) {
					box.add(positions[name])
				}
			}
			if err := wait(t, done); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				for _, m := range box.want(name, numbered(1+seen[name], count)...) {
					if m.Lost != 0 || m.Restarted {
						t.Errorf("%s: %+v", name, m)
					}
				}
			}
			if len(box.failures) > 0 {
				t.Errorf("failure %v", <-box.failures)
			}
			for _, name := range names {
				if _, there := sub.Remove(name); !there {
					t.Errorf("%s is not there", name)
				}
				s.WaitSubscribers(name, 0)
			}
			box.add(client.Start{Channel: "x1"}) // it has waited for one
			s.WaitSubscribers("x1", 1)
			s.Push("x1", "again")
			box.want("x1", "again")
		})
	}
}

// TestMultiAll: as many channels as the server allows, with long names, are too long for a
// URL.
func TestMultiAll(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	names := []string{}
	for n := range 100 {
		names = append(names, fmt.Sprintf("%03d", n)+strings.Repeat("ü", 80))
	}
	for _, transport := range client.Transports {
		sub := &client.MultiSubscriber{URL: s.Front, Transport: transport}
		box := receiveMulti(t, sub, append(names, "more")...)
		box.add(all(names...)...)
		for _, name := range names {
			wait(t, box.told[name])
		}
		s.Push(names[99], string(transport))
		for wait(t, box.messages[names[99]]).Content != string(transport) { // those for the others before
		}
		box.add(all("more")...) // is one too many
		if transport == client.WebSocket {
			l := wait(t, box.left)
			if status, ok := errors.AsType[*client.StatusError](l.err); !ok || status.Status != 400 || l.last.Channel != "more" {
				t.Errorf("%+v", l)
			}
			continue
		}
		err := wait(t, box.end)
		if status, ok := errors.AsType[*client.StatusError](err); !ok || status.Status != 400 || !strings.Contains(status.Text, "too many channels") {
			t.Errorf("%s: ended with %v", transport, err)
		}
		if _, there := sub.Remove("more"); !there || len(sub.Channels()) != 100 {
			t.Errorf("%s: %d channels are left", transport, len(sub.Channels()))
		}
	}
}
