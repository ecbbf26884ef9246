package client_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/client"
	"icomet/server/servertest"
)

// TestMultiTokens: a token is asked for each channel; one that is refused costs only its
// channel.
func TestMultiTokens(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	admin := client.Admin{URL: s.Admin}
	for _, transport := range client.Transports {
		asked := map[string][]int{}
		sub := &client.MultiSubscriber{URL: s.Front, Transport: transport}
		sub.Token = func(ctx context.Context, channel string, denied int) (string, error) {
			asked[channel] = append(asked[channel], denied)
			if denied == 0 && channel == "stale" {
				return "0123456789abcdef0123456789abcdef", nil
			}
			if channel == "forbidden" {
				return "0123456789abcdef0123456789abcdef", map[bool]error{true: client.ErrUnauthorized}[denied > 0]
			}
			signed, err := admin.Sign(ctx, channel, time.Minute)
			return signed.Token, err
		}
		if _, err := admin.Sign(t.Context(), "forbidden", time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Sign(t.Context(), "stale", time.Minute); err != nil {
			t.Fatal(err)
		}
		box := receiveMulti(t, sub, "good", "stale", "forbidden", "later")
		box.add(all("good", "forbidden", "stale")...)
		if l := wait(t, box.left); l.last.Channel != "forbidden" || l.err != client.ErrUnauthorized {
			t.Errorf("%s: %+v", transport, l)
		}
		for _, name := range []string{"good", "stale"} {
			s.WaitSubscribers(name, 1)
			s.Push(name, string(transport))
			for wait(t, box.messages[name]).Content != string(transport) { // those for the others before
			}
		}
		box.add(all("later")...)
		s.WaitSubscribers("later", 1)
		box.stop()
		if err := wait(t, box.end); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: ended with %v", transport, err)
		}
		want := map[string][]int{"good": {0}, "stale": {0, 1}, "forbidden": {0, 1}, "later": {0}}
		if !maps.EqualFunc(asked, want, slices.Equal) {
			t.Errorf("%s: asked for %v, want %v", transport, asked, want)
		}
		for _, name := range []string{"good", "stale", "later"} {
			s.WaitSubscribers(name, 0)
		}
	}
}

// TestMultiRefused: without tokens that are accepted, or without a Token function, each
// channel ends, and with the last one all.
func TestMultiRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	for _, transport := range client.Transports {
		box := receiveMulti(t, &client.MultiSubscriber{URL: s.Front, Transport: transport}, "a", "b")
		box.add(all("a", "b")...)
		for range 2 {
			if l := wait(t, box.left); l.err != client.ErrUnauthorized {
				t.Errorf("%s: %+v", transport, l)
			}
		}
		if err := wait(t, box.end); err != client.ErrUnauthorized {
			t.Errorf("%s: ended with %v", transport, err)
		}
	}
}

// TestMultiTokenFails: a Token that fails for good costs only its channel; one that fails
// for a time is called again.
func TestMultiTokenFails(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	for _, transport := range client.Transports {
		calls := 0
		sub := &client.MultiSubscriber{URL: s.Front, Transport: transport}
		sub.Token = func(_ context.Context, channel string, _ int) (string, error) {
			switch channel {
			case "lasting":
				return "", &client.StatusError{Status: 403, Text: "not you"}
			case "passing":
				if calls++; calls < 3 {
					return "", errors.New("the backend is away")
				}
			}
			return "", nil
		}
		good := string(transport)
		box := receiveMulti(t, sub, "lasting", "passing", good)
		box.add(all("lasting", "passing", good)...)
		if l := wait(t, box.left); l.last.Channel != "lasting" || l.err.Error() != "token: HTTP 403: not you" {
			t.Errorf("%s: %+v", transport, l)
		}
		s.Push(good, "m1")
		box.want(good, "m1")
		wait(t, box.told["passing"])
		for range 2 {
			if err := wait(t, box.failures); err.Error() != "channel passing: token: the backend is away" {
				t.Errorf("%s: failure %v", transport, err)
			}
		}
		box.stop()
		wait(t, box.end)
	}
}

// TestMultiTooMany: a channel that is full is waited for, without the others.
func TestMultiTooMany(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_MAX_SUBSCRIBERS_PER_CHANNEL=1", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	receive(t, &client.Subscriber{URL: s.Front, Channel: "full"})
	s.WaitSubscribers("full", 1)
	for _, transport := range client.Transports {
		name := string(transport)
		box := receiveMulti(t, &client.MultiSubscriber{URL: s.Front, Transport: transport}, name, "full")
		box.add(all("full", name)...)
		if err := wait(t, box.failures); !errors.Is(err, client.ErrTooMany) || !strings.Contains(err.Error(), "channel full") {
			t.Errorf("%s: failure %v", transport, err)
		}
		s.Push(name, "m1")
		s.Push(name, "m2")
		box.want(name, "m1", "m2")
	}
}

// TestMultiAdd: names and positions that are none are refused, and one name twice.
func TestMultiAdd(t *testing.T) {
	t.Parallel()
	sub := &client.MultiSubscriber{}
	for _, list := range [][]client.Start{
		all(""), all(strings.Repeat("a", 256)), all("\xff"), all("good", "good"),
		{{Channel: "good"}, {Channel: "a", From: client.Position{Seq: 5}}}, {{Channel: "a", Last: -1}}, {{Channel: "a", Seq: -1}},
	} {
		err := sub.Add(list...)
		if status, ok := errors.AsType[*client.StatusError](err); !ok || status.Status != 400 || len(sub.Channels()) > 0 {
			t.Errorf("%+v: %v, there are %v", list, err, sub.Channels())
		}
	}
	want := []client.Start{{Channel: "a", From: at(epoch, 5)}, {Channel: "b", Last: 3}, {Channel: "c", Seq: 7}}
	if err := sub.Add(want...); err != nil || !slices.Equal(sub.Channels(), want) {
		t.Errorf("%v: %v", err, sub.Channels())
	}
	if err := sub.Add(all("b")...); err == nil {
		t.Error("b was added twice")
	}
	if last, there := sub.Remove("b"); !there || last != want[1] {
		t.Errorf("removed %+v %t", last, there)
	}
	if last, there := sub.Remove("b"); there {
		t.Errorf("removed %+v again", last)
	}
}
