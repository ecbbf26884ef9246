package enginetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"icomet/channel"
)

func (n *node) fetch(t *testing.T, j channel.Join) channel.Result {
	t.Helper()
	return call(t, func(d channel.Done) { n.engine.Fetch(&j, d) })
}

// becomes waits until Info returns this: an engine of several nodes may count late.
func (n *node) becomes(t *testing.T, name string, want channel.Result) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(giveUp); ; <-tick.C {
		got := n.info(t, name)
		if got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v: Info(%s): %+v, want %+v", giveUp, name, got, want)
		}
	}
}

// testJoinErrors: why a Join is refused, whether the hub or the engine finds out.
func testJoinErrors(t *testing.T, n *node) {
	token := n.sign(t, "a").Token
	for name, j := range map[string]channel.Join{
		"without a token":        {Name: a, Auth: true},
		"with a part of it":      {Name: a, Auth: true, Token: []byte(token[:31])},
		"of an unknown channel":  {Name: []byte("b"), Auth: true, Token: []byte(token)},
		"that has to be there":   {Name: []byte("b"), Known: true},
		"with a token, unsigned": {Name: []byte("c"), Auth: true, Token: []byte(token)},
	} {
		n.publish(t, "c", "x")
		if _, err := n.tryJoin(t, j); !errors.Is(err, channel.ErrToken) {
			t.Errorf("a Join %s: %v", name, err)
		}
	}
	if n.info(t, "b").Alive {
		t.Error("a Join that was refused has made a channel")
	}
	n.join(t, channel.Join{Name: a, Known: true})
	n.join(t, channel.Join{Name: a, Auth: true, Token: []byte(token)})
	n.becomes(t, "", channel.Result{Channels: 2, Subscribers: 2})
}

// testMaxSubscribers: no more than the limit get in, and a place that becomes free can be
// used.
func testMaxSubscribers(t *testing.T, n *node) {
	var c *channel.Channel
	for range limits.MaxSubscribers {
		c = n.join(t, channel.Join{Name: a}).Channel
	}
	if _, err := n.tryJoin(t, channel.Join{Name: a}); !errors.Is(err, channel.ErrTooManySubscribers) {
		t.Fatalf("one more: %v", err)
	}
	n.hub.Leave(c, 0, false)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(giveUp); ; <-tick.C {
		_, err := n.tryJoin(t, channel.Join{Name: a})
		if err == nil {
			break
		}
		if !errors.Is(err, channel.ErrTooManySubscribers) || time.Now().After(end) {
			t.Fatalf("in the place of one that has left: %v", err)
		}
	}
	n.becomes(t, "a", channel.Result{Subscribers: limits.MaxSubscribers, Alive: true})
	for i := range limits.MaxChannels - 1 {
		n.join(t, channel.Join{Name: []byte(fmt.Sprint(i))})
	}
	if _, err := n.tryJoin(t, channel.Join{Name: []byte("more")}); !errors.Is(err, channel.ErrTooManyChannels) {
		t.Errorf("a channel over the limit: %v", err)
	}
}

// testFetch: a Fetch whose Join never comes leaves nothing behind, and a Fetch that is
// not needed does no harm.
func testFetch(t *testing.T, n *node) {
	n.publish(t, "a", "x")
	n.engine.Release(a) // no place is reserved
	for range 3 {
		if r := n.fetch(t, channel.Join{Name: a}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	j := channel.Join{Name: a, Since: 1, Fetched: true}
	joined, err := n.hub.Join(&j, nil)
	if err != nil || len(joined.Replay) != 1 || !joined.Subscribed {
		t.Fatalf("the Join after a Fetch: %+v %v", joined, err)
	}
	for range 3 {
		n.engine.Release(a)
	}
	n.engine.Release(a)
	n.becomes(t, "a", channel.Result{Subscribers: 1, Alive: true})
	n.becomes(t, "", channel.Result{Channels: 1, Subscribers: 1})
	wantOK(t, "Publish", n.publish(t, "a", "y"), 2)
	n.wantDelivered(t, message(2, "y", channel.Data))
	for range limits.MaxSubscribers - 1 { // no place is reserved any more
		n.join(t, channel.Join{Name: a})
	}
	for i := range limits.MaxSubscribers {
		n.hub.Leave(joined.Channel, 0, i == limits.MaxSubscribers-1)
	}
	n.becomes(t, "a", channel.Result{Alive: true})
}

// testFetchReusesName: like testCallerReusesName, for the name in a Join.
func testFetchReusesName(t *testing.T, n *node) {
	n.publish(t, "a", "x")
	buf := []byte("a")
	j := &channel.Join{Name: buf}
	r := call(t, func(d channel.Done) {
		n.engine.Fetch(j, d)
		buf[0] = 'z'
	})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	joined, err := n.hub.Join(&channel.Join{Name: a, Since: 1, Fetched: true}, nil)
	if err != nil || len(joined.Replay) != 1 {
		t.Errorf("the Join after it: %+v %v", joined, err)
	}
	n.engine.Release(a)
	if n.info(t, "z").Alive {
		t.Error("another channel was fetched")
	}
}

// testInfo: the counts of one channel and of all.
func testInfo(t *testing.T, n *node) {
	n.becomes(t, "a", channel.Result{})
	n.becomes(t, "", channel.Result{})
	n.publish(t, "quiet", "x")
	n.becomes(t, "quiet", channel.Result{Alive: true})
	var c *channel.Channel
	for range 3 {
		c = n.join(t, channel.Join{Name: a}).Channel
	}
	n.join(t, channel.Join{Name: []byte("b")})
	n.becomes(t, "a", channel.Result{Subscribers: 3, Alive: true})
	n.becomes(t, "", channel.Result{Channels: 3, Subscribers: 4})
	n.hub.Leave(c, 0, false)
	n.becomes(t, "a", channel.Result{Subscribers: 2, Alive: true})
	n.becomes(t, "", channel.Result{Channels: 3, Subscribers: 3})
	n.close(t, "a")
	n.becomes(t, "a", channel.Result{})
	n.hub.Leave(c, 0, false) // as its sink does when it gets Closed
	n.hub.Leave(c, 0, true)
	n.becomes(t, "", channel.Result{Channels: 2, Subscribers: 1})
}

// testWatch: after Watch, channels that are created and freed are announced in this
// order. Online may be repeated.
func testWatch(t *testing.T, n *node) {
	for range 2 {
		if r := call(t, n.engine.Watch); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	n.hub.WatchPresence(0, true)
	n.publish(t, "a", "x")
	n.close(t, "a")
	n.sign(t, "a")
	online, offline := message(0, "a", channel.Online), message(0, "a", channel.Offline)
	var got []channel.Message
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(giveUp); len(got) < 3 && time.Now().Before(end); <-tick.C {
		for _, m := range n.sink.take() {
			if len(got) == 0 || got[len(got)-1] != m {
				got = append(got, m)
			}
		}
	}
	wantMessages(t, got, online, offline, online)
}

// testStatus: Status can be encoded, before and after Stop, and the engine is ready.
func testStatus(t *testing.T, n *node) {
	if err := n.engine.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	for range 2 {
		if text, err := json.Marshal(n.engine.Status()); err != nil || len(text) < 4 {
			t.Errorf("%s %v", text, err)
		}
		n.engine.Stop()
	}
	for name, r := range map[string]channel.Result{
		"Fetch": n.fetch(t, channel.Join{Name: a}), "Watch": call(t, n.engine.Watch),
		"Info": call(t, func(d channel.Done) { n.engine.Info(a, d) }),
	} {
		if r.Err != nil && !errors.Is(r.Err, channel.ErrStopped) {
			t.Errorf("%s after the end: %v", name, r.Err)
		}
	}
}
