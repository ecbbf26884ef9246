package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/client"
	"icomet/server/servertest"
)

// TestMultiHadAll: a 204 ends the channels that were asked for, and not one that is to be
// asked for later, or was added meanwhile.
func TestMultiHadAll(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		s := startScript(t, framed(transport, position(epoch, 5, 0, ""), named(control("429", 0), "full")), answer{status: http.StatusNoContent})
		sub := &client.MultiSubscriber{URL: s.URL, Transport: transport}
		box := receiveMulti(t, sub, "a", "full")
		box.add(client.Start{Channel: "a"}, client.Start{Channel: "full", Seq: 1})
		if l := wait(t, box.left); l.last.Channel != "a" || l.last.From != at(epoch, 4) || l.err != client.ErrEnded {
			t.Errorf("%s: %+v", transport, l)
		}
		if got := sub.Channels(); !slices.Equal(got, all("full")) {
			t.Errorf("%s: left are %+v", transport, got)
		}

		s = startScript(t, answer{status: http.StatusNoContent},
			framed(transport, named(position(epoch, 1, 0, ""), "late"), named(message(1), "late")))
		sub = &client.MultiSubscriber{URL: s.URL, Transport: transport}
		sub.OnEnd = func(client.Start, error) {
			if err := sub.Add(all("late")...); err != nil {
				t.Error(err)
			}
		}
		if err := sub.Add(all("a")...); err != nil {
			t.Error(err)
		}
		for m, err := range sub.Messages(t.Context()) {
			if err != nil || m.Channel != "late" || m.Seq != 1 {
				t.Errorf("%s: got %+v, %v", transport, m, err)
			}
			break
		}
	}
}

// TestMultiStop: when the context ends, what was read before is not yielded, and a later
// Messages begins with it.
func TestMultiStop(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	pushAll(s, "a", numbered(1, 50))
	pushAll(s, "b", numbered(1, 50))
	for _, transport := range client.Transports {
		sub := &client.MultiSubscriber{URL: s.Front, Transport: transport}
		if err := sub.Add(all("a", "b")...); err != nil {
			t.Fatal(err)
		}
		next := map[string]int64{"a": 1, "b": 1}
		for total := 0; total < 100; {
			ctx, cancel := context.WithCancel(t.Context())
			got := 0
			for m, err := range sub.Messages(ctx) {
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Fatalf("%s: ended with %v", transport, err)
					}
					break
				}
				if m.Seq != next[m.Channel] || m.Lost != 0 {
					t.Fatalf("%s: got %+v, want number %d", transport, m, next[m.Channel])
				}
				next[m.Channel]++
				if got++; got%20 == 0 {
					cancel() // in the handling of a message
				}
			}
			cancel()
			if got != 20 {
				t.Errorf("%s: %d messages, want 20", transport, got)
			}
			total += got
		}
	}
}

// TestMultiRemoveBetween: a message that is about to be yielded when its channel is removed
// counts as Remove says.
func TestMultiRemoveBetween(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		later := strings.Replace(message(9), `"a"`, `"b"`, 1)
		s := startScript(t, framed(transport, position(epoch, 1, 0, ""), named(position(epoch, 9, 0, ""), "b"), message(1), message(5), message(6), later))
		sub := &client.MultiSubscriber{URL: s.URL, Transport: transport}
		removed := client.Start{}
		sub.OnPosition = func(channel string, r client.Recovery) {
			if channel == "a" && r.Lost > 0 { // 2 to 4, as message 5 shows
				removed, _ = sub.Remove(channel)
			}
		}
		if err := sub.Add(client.Start{Channel: "a", From: at(epoch, 0)}, client.Start{Channel: "b"}); err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for m, err := range sub.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, m.Channel+m.Content); m.Channel == "b" {
				break
			}
		}
		if !slices.Equal(got, []string{"am1", "bm9"}) || removed.From != at(epoch, 1) {
			t.Errorf("%s: got %v, removed at %+v", transport, got, removed)
		}
	}
}

// TestMultiPollAnew: when several channels have begun anew, one more poll has all of them
// from their first message.
func TestMultiPollAnew(t *testing.T) {
	t.Parallel()
	names, first, anew, whole := []string{"a", "b", "c"}, []string{}, []string{}, []string{}
	for _, name := range names {
		first = append(first, named(position(epoch, 3, 0, ""), name), named(message(3), name))
		anew = append(anew, named(position(another, 4, -1, client.ReasonEpoch), name), named(message(4), name))
		for n := 1; n <= 4; n++ {
			whole = append(whole, named(message(n), name))
		}
	}
	s := startScript(t, framed(client.Poll, first...), answer{status: http.StatusServiceUnavailable}, framed(client.Poll, anew...), framed(client.Poll, whole...))
	box := receiveMulti(t, &client.MultiSubscriber{URL: s.URL, Transport: client.Poll}, names...)
	for _, name := range names {
		box.add(client.Start{Channel: name, From: at(epoch, 2)})
	}
	for _, name := range names {
		got := box.want(name, append([]string{"m3"}, numbered(1, 4)...)...)[1]
		if got.Lost != -1 || got.Reason != client.ReasonEpoch || !got.Restarted || got.Epoch != another {
			t.Errorf("got %+v", got)
		}
	}
	query := func(seq int, epoch string) (q string) {
		for _, name := range names {
			q += fmt.Sprintf("&cname=%s&seq=%d&epoch=%s", name, seq, epoch)
		}
		return q[1:]
	}
	for _, want := range []string{query(3, ""), query(4, epoch), query(4, ""), query(1, another), query(5, another)} {
		if got := wait(t, s.requests).URL.RawQuery; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}

// TestMultiLeavesNothing: however Messages ends, no goroutine and no connection stays.
func TestMultiLeavesNothing(t *testing.T) { // not parallel: it counts
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	pushAll(s, "a", numbered(1, 3))
	http.DefaultClient.CloseIdleConnections()
	goroutines, descriptors := servertest.CountGoroutines(), servertest.CountDescriptors()
	for _, transport := range client.Transports {
		for range 2 {
			sub := &client.MultiSubscriber{URL: s.Front, Transport: transport}
			ctx, cancel := context.WithCancel(t.Context())
			for _, how := range []func(m client.Message) (stop bool){
				func(client.Message) bool { return true },
				func(client.Message) bool { cancel(); return false },
			} {
				if err := sub.Add(all("a", "b")...); err != nil {
					t.Fatal(err)
				}
				for m, err := range sub.Messages(ctx) {
					if err != nil || how(m) {
						break
					}
					sub.Remove("b")
				}
				sub.Remove("a")
				sub.Remove("b")
			}
			cancel()
		}
	}
	servertest.CheckFor(t, servertest.Patience, func() error {
		if n := servertest.CountGoroutines(); n > goroutines {
			return fmt.Errorf("%d goroutines more", n-goroutines)
		}
		if n := servertest.CountDescriptors(); n > descriptors {
			return fmt.Errorf("%d descriptors more", n-descriptors)
		}
		return nil
	})
	s.WaitSubscribers("a", 0)
}

// TestMultiOverload: a slow loop loses and doubles nothing that the server stores, although
// the server cuts connections that take too little, and it blocks neither the other methods
// nor the end.
func TestMultiOverload(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600",
				"ICOMET_LIMITS_OUTBOUND_BUFFER=16KiB", "ICOMET_LIMITS_SEND_BUFFER=4KiB")
			names := []string{"a", "b", "c"}
			sub := &client.MultiSubscriber{URL: s.Front, Transport: transport, MinBackoff: 20 * time.Millisecond}
			failures := 0
			sub.OnError = func(error, time.Duration) { failures++ }
			if err := sub.Add(all(names...)...); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			const count = 100
			long := strings.Repeat("x", 32<<10)
			publisher := client.Admin{URL: s.Admin}
			begun, handle, end := make(chan bool, 1), make(chan bool), make(chan error, 1)
			next := map[string]int64{"a": 1, "b": 1, "c": 1}
			go func() {
				total := 0
				for m, err := range sub.Messages(ctx) {
					if err != nil {
						end <- err
						return
					}
					if m.Seq != next[m.Channel] || m.Lost != 0 {
						t.Errorf("got number %d of %s with %d lost, want %d", m.Seq, m.Channel, m.Lost, next[m.Channel])
					}
					next[m.Channel]++
					if total++; total == 10 || total == len(names)*count {
						begun <- true
						<-handle
					}
				}
			}()
			for _, name := range names { // 10 MB: more than fits between the server and the loop
				for range count {
					if err := publisher.Push(t.Context(), name, long); err != nil {
						t.Fatal(err)
					}
				}
			}
			wait(t, begun) // the loop is busy
			if _, there := sub.Remove("none"); there || len(sub.Channels()) != len(names) {
				t.Errorf("%+v", sub.Channels())
			}
			handle <- true
			wait(t, begun) // it has had all
			s.Push("a", "after the end")
			cancel()
			handle <- true
			if err := wait(t, end); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
			if transport != client.Poll && failures == 0 { // a poll takes what there is
				t.Error("the server has cut no connection")
			}
			for _, start := range sub.Channels() {
				if start.From.Seq != count {
					t.Errorf("%+v", start)
				}
			}
		})
	}
}
