package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"icomet/channel"
	"icomet/channel/redis/redistest"
)

// startNodes connects n nodes to one Redis.
func startNodes(t *testing.T, n int, limits channel.Limits) (*redistest.Server, []*testNode) {
	t.Helper()
	s := redistest.Start(t)
	nodes := make([]*testNode, n)
	for i := range nodes {
		nodes[i] = startNode(t, testOptions(s.Addr()), limits)
	}
	return s, nodes
}

// wait waits until a subscriber's sink has exactly these messages of the channel.
func (n *testNode) wait(ch *channel.Channel, want ...channel.Message) {
	n.t.Helper()
	checkFor(n.t, patience, func() error {
		if got := n.sink.of(ch); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

func data(seq int64, content string) channel.Message {
	return channel.Message{Seq: seq, Content: content}
}

// TestPublishElsewhere: a message reaches the subscribers on every node, and a later
// subscriber on another node finds the history.
func TestPublishElsewhere(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 3, testLimits)
	a, b := n[0].join("c", 0), n[1].join("c", 0)
	for i := range 5 {
		if seq := n[i%3].mustPublish("c", fmt.Sprint(i)); seq != int64(i+1) {
			t.Fatalf("message %d has seq %d", i, seq)
		}
	}
	want := []channel.Message{data(1, "0"), data(2, "1"), data(3, "2"), data(4, "3"), data(5, "4")}
	n[0].wait(a.Channel, want...)
	n[1].wait(b.Channel, want...)
	late := n[2].join("c", 3)
	if fmt.Sprint(late.Replay) != fmt.Sprint(want[2:]) || late.Next != 6 || late.TellNext {
		t.Fatalf("got %+v", late)
	}
	if next := n[2].join("c", 6); next.TellNext || next.Next != 6 {
		t.Fatalf("who has all waits: %+v", next)
	}
}

// TestReturnToASlowerNode: a client asks for a seq that another node has given out and
// this node has not seen. It must not be told a lower one.
func TestReturnToASlowerNode(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 2, testLimits)
	n[1].join("c", 0)
	for i := int64(1); i <= 200; i++ {
		seq := n[0].mustPublish("c", "x")
		if got := n[1].join("c", seq+1); got.TellNext || got.Next != seq+1 {
			t.Fatalf("after %d: %+v", seq, got)
		}
	}
}

// TestOnlySubscribedChannels: a node is subscribed only to the channels of its
// subscribers, and has no copy of other channels.
func TestOnlySubscribedChannels(t *testing.T) {
	t.Parallel()
	limits := testLimits
	limits.Timeout = time.Second
	s, n := startNodes(t, 2, limits)
	for i := range 20 {
		n[0].mustPublish(fmt.Sprint("quiet", i), "x")
	}
	j := n[1].join("loud", 0)
	if out := s.CLI("pubsub", "channels"); out != n[1].partition([]byte("loud")).state("loud")+"\n" {
		t.Fatalf("subscribed to %q", out)
	}
	if n[0].hub.Channels() != 0 || n[1].hub.Channels() != 1 {
		t.Fatalf("%d and %d copies", n[0].hub.Channels(), n[1].hub.Channels())
	}
	n[1].hub.Leave(j.Channel, 0, true)
	checkFor(t, patience, func() error {
		if out := s.CLI("pubsub", "channels"); out != "\n" {
			return fmt.Errorf("still subscribed to %q", out)
		}
		return nil
	})
}

func TestTokensAreShared(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 2, testLimits)
	sign := func(n *testNode) channel.Result {
		return result(t, func(d channel.Done) { n.Sign([]byte("c"), time.Hour, d) })
	}
	first, again := sign(n[0]), sign(n[1])
	if first.Err != nil || len(first.Token) != 32 || again != first {
		t.Fatalf("signed as %+v and %+v", first, again)
	}
	for _, node := range n {
		good := channel.Join{Name: []byte("c"), Auth: true, Token: []byte(first.Token)}
		if _, err := node.tryJoin(good); err != nil {
			t.Errorf("with the token: %v", err)
		}
		bad := channel.Join{Name: []byte("c"), Auth: true, Token: []byte("00000000000000000000000000000000")}
		if _, err := node.tryJoin(bad); !errors.Is(err, channel.ErrToken) {
			t.Errorf("with another token: %v", err)
		}
		unknown := channel.Join{Name: []byte("d"), Known: true}
		if _, err := node.tryJoin(unknown); !errors.Is(err, channel.ErrToken) {
			t.Errorf("an unknown channel: %v", err)
		}
	}
}

// TestLimitsCountAllNodes: the limits of subscribers and channels count all nodes
// together.
func TestLimitsCountAllNodes(t *testing.T) {
	t.Parallel()
	limits := testLimits
	limits.MaxSubscribers, limits.MaxChannels = 4, 3
	_, n := startNodes(t, 2, limits)
	for i := range limits.MaxSubscribers {
		n[i%2].join("c", 0)
	}
	for _, node := range n {
		if _, err := node.tryJoin(channel.Join{Name: []byte("c")}); !errors.Is(err, channel.ErrTooManySubscribers) {
			t.Errorf("one more: %v", err)
		}
	}
	n[0].mustPublish("d", "x")
	n[1].mustPublish("e", "x")
	for _, node := range n {
		if r := node.publishTo("f", "x"); !errors.Is(r.Err, channel.ErrTooManyChannels) {
			t.Errorf("one channel more: %v", r.Err)
		}
		if _, err := node.tryJoin(channel.Join{Name: []byte("f")}); !errors.Is(err, channel.ErrTooManyChannels) {
			t.Errorf("a subscriber of one channel more: %v", err)
		}
	}
	if r := n[1].info(""); r.Channels != 3 || r.Subscribers != 4 {
		t.Errorf("totals %+v", r)
	}
}

// TestInfoCountsAllNodes: this node's subscribers are counted at once, those of the
// others soon.
func TestInfoCountsAllNodes(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 3, testLimits)
	var joined []channel.Joined
	for i := range 6 {
		joined = append(joined, n[i%3].join("c", 0))
	}
	for _, node := range n {
		checkFor(t, patience, func() error { return node.counts("c", 6, 6) })
	}
	n[0].hub.Leave(joined[0].Channel, 0, false)
	if r := n[0].info("c"); r.Subscribers != 5 {
		t.Errorf("on its own node: %+v", r)
	}
	checkFor(t, patience, func() error { return n[1].counts("c", 5, 5) })
	if r := n[1].info("unknown"); r.Alive || r.Subscribers != 0 {
		t.Errorf("an unknown channel: %+v", r)
	}
}

func (n *testNode) counts(name string, subscribers, total int) error {
	if r := n.info(name); r.Subscribers != subscribers || !r.Alive {
		return fmt.Errorf("%s: %+v, want %d subscribers", name, r, subscribers)
	}
	if r := n.info(""); r.Subscribers != total {
		return fmt.Errorf("totals %+v, want %d subscribers", r, total)
	}
	return nil
}

func TestCloseAndClearElsewhere(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 2, testLimits)
	a, b := n[0].join("c", 0), n[1].join("c", 0)
	n[0].mustPublish("c", "x")
	n[1].wait(b.Channel, data(1, "x"))
	if r := result(t, func(d channel.Done) { n[0].Clear([]byte("c"), d) }); r.Err != nil || r.Seq != 2 {
		t.Fatalf("clear: %+v", r)
	}
	checkFor(t, patience, func() error {
		if got := n[1].join("c", 1); len(got.Replay) != 0 {
			return fmt.Errorf("cleared, and still replayed: %v", got.Replay)
		}
		return nil
	})
	n[1].mustPublish("c", "y")
	if r := result(t, func(d channel.Done) { n[1].Close([]byte("c"), d) }); r.Err != nil || r.Seq != 3 {
		t.Fatalf("close: %+v", r)
	}
	end := channel.Message{Seq: 3, Type: channel.Closed}
	n[0].wait(a.Channel, data(1, "x"), data(2, "y"), end)
	n[1].wait(b.Channel, data(1, "x"), data(2, "y"), end)
	for _, node := range n {
		if r := node.info("c"); r.Alive {
			t.Errorf("closed and alive: %+v", r)
		}
	}
	if seq := n[0].mustPublish("c", "new"); seq != 1 {
		t.Errorf("the new channel begins at %d", seq)
	}
}

// TestBroadcastOnce: one seq per channel, even when two nodes have its copy.
func TestBroadcastOnce(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 2, testLimits)
	a, b := n[0].join("both", 0), n[1].join("both", 0)
	c := n[1].join("one", 0)
	n[0].mustPublish("both", "x")
	if r := result(t, func(d channel.Done) { n[0].Broadcast("all", "", d) }); r.Err != nil {
		t.Fatal(r.Err)
	}
	all := func(seq int64) channel.Message {
		return channel.Message{Seq: seq, Content: "all", Type: channel.Broadcast}
	}
	n[0].wait(a.Channel, data(1, "x"), all(2))
	n[1].wait(b.Channel, data(1, "x"), all(2))
	n[1].wait(c.Channel, all(1))
	if got := n[0].join("both", 1); len(got.Replay) != 2 || got.Replay[1] != all(2) {
		t.Errorf("stored: %v", got.Replay)
	}
}

// TestPresenceEverywhere: online when a channel is created on any node, offline when it
// is freed.
func TestPresenceEverywhere(t *testing.T) {
	t.Parallel()
	limits := testLimits
	limits.Timeout = time.Second
	_, n := startNodes(t, 2, limits)
	for _, node := range n {
		if r := result(t, node.Watch); r.Err != nil {
			t.Fatal(r.Err)
		}
		node.hub.WatchPresence(0, true)
	}
	j := n[0].join("c", 0)
	online := channel.Message{Type: channel.Online, Content: "c"}
	offline := channel.Message{Type: channel.Offline, Content: "c"}
	for _, node := range n {
		checkFor(t, patience, func() error { return node.saw(online, 2) }) // the second is the repeat
		if err := node.saw(offline, 1); err == nil {
			t.Fatal("offline while it is subscribed")
		}
	}
	n[0].hub.Leave(j.Channel, 0, true)
	for _, node := range n {
		checkFor(t, patience, func() error { return node.saw(offline, 1) })
	}
}

func (n *testNode) saw(m channel.Message, times int) error {
	n.sink.mu.Lock()
	defer n.sink.mu.Unlock()
	seen := 0
	for _, p := range n.sink.presence {
		if p == m {
			seen++
		}
	}
	if seen < times {
		return fmt.Errorf("%v was seen %d times, want %d: %v", m, seen, times, n.sink.presence)
	}
	return nil
}

// TestExpiry: a channel lives while any node has a subscriber of it, and is freed when
// its time is over.
func TestExpiry(t *testing.T) {
	t.Parallel()
	limits := testLimits
	limits.Timeout = time.Second
	s, n := startNodes(t, 2, limits)
	j := n[1].join("kept", 0)
	n[0].mustPublish("kept", "x")
	published := time.Now()
	n[0].mustPublish("left", "x")
	checkFor(t, patience, func() error {
		if left, all := n[0].info("left"), n[1].info(""); left.Channels != 0 || all.Channels != 1 {
			return fmt.Errorf("a channel without a subscriber is not freed: %+v of %+v", left, all)
		}
		return nil
	})
	if age := time.Since(published); age < limits.Timeout-time.Millisecond || // Redis counts in ms
		age > limits.Timeout+lateness {
		t.Errorf("freed after %v", age)
	}
	if keys := s.CLI("keys", "t:*:left"); keys != "\n" {
		t.Errorf("its keys are still there: %s", keys)
	}
	if r := n[0].info("kept"); !r.Alive || r.Subscribers != 1 {
		t.Fatalf("the subscribed channel: %+v", r)
	}
	n[1].hub.Leave(j.Channel, 0, true)
	left := time.Now()
	checkFor(t, patience, func() error {
		if r := n[0].info("kept"); r.Alive {
			return fmt.Errorf("it is alive without a subscriber: %+v", r)
		}
		return nil
	})
	if age := time.Since(left); age < limits.Timeout-50*time.Millisecond || age > limits.Timeout+lateness {
		t.Errorf("freed %v after the last subscriber has left", age)
	}
}

// TestCountedAgain: a channel whose subscribers were taken for those of a dead node is
// subscribed again by a mere comparison, although that does not prolong its life.
func TestCountedAgain(t *testing.T) {
	t.Parallel()
	n := startNode(t, testOptions(redistest.Start(t).Addr()), testLimits)
	n.join("c", 0)
	p, ctx := n.partition([]byte("c")), t.Context()
	for _, call := range []struct {
		*script
		args []string
	}{
		{forgetScript, []string{n.node, "1", "100", "1"}},
		{syncScript, []string{n.node, "c", "1", "0"}},
	} {
		if err := n.run(ctx, call.script, p.keys(), call.args...).Error(); err != nil {
			t.Fatal(err)
		}
	}
	due, err := n.client.Do(ctx, n.client.B().Zscore().Key(p.due).Member("c").Build()).ToString()
	if err != nil || due != "inf" {
		t.Errorf("the channel is due at %q (%v), although it is subscribed", due, err)
	}
}
