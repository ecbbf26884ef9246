package redis

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"icomet/channel"
	"icomet/channel/redis/redistest"
)

// TestOthersMessages: a node does not receive messages of channels that nobody on it has
// subscribed to.
func TestOthersMessages(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 3, testLimits)
	a := n[0].join("c", 0)
	var want []channel.Message
	for i := range 5 {
		n[1].mustPublish("c", "x")
		want = append(want, data(int64(i+1), "x"))
	}
	n[0].wait(a.Channel, want...)
	own := n[2].join("d", 0)
	n[1].mustPublish("d", "y")
	n[2].wait(own.Channel, data(1, "y")) // anything sent before would have come before
	for i, received := range []uint64{5, 0, 1} {
		if got := n[i].stats.received.Load(); got != received {
			t.Errorf("node %d has received %d messages of pub/sub, want %d", i, got, received)
		}
	}
}

// TestLostAnswerToAJoin: Redis has counted a subscriber, but the node does not get the
// answer.
func TestLostAnswerToAJoin(t *testing.T) {
	t.Parallel()
	s, nodes := startNodes(t, 1, testLimits)
	p := startProxy(t, s.Addr())
	o := testOptions(p.addr())
	o.Timeout = 2 * time.Second // so long it is counted
	n := startNode(t, o, testLimits)
	p.deaf.Store(true)
	answer := make(chan error, 1)
	n.Fetch(&channel.Join{Name: []byte("c"), Since: 1}, doneFunc(func(r channel.Result) { answer <- r.Err }))
	checkFor(t, patience, func() error {
		if r := nodes[0].info("c"); r.Subscribers != 1 {
			return fmt.Errorf("the test tests nothing: %+v", r)
		}
		return nil
	})
	select {
	case err := <-answer:
		if !errors.Is(err, channel.ErrUnavailable) {
			t.Fatalf("the Join has ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("the Join is not answered within %v", patience)
	}
	p.deaf.Store(false)
	checkFor(t, patience, func() error {
		if r := nodes[0].info("c"); r.Subscribers != 0 {
			return fmt.Errorf("%d subscribers are counted", r.Subscribers)
		}
		return nil
	})
}

// TestWatchAgain: presence is given up for lack of watchers at the moment in which somebody
// watches again.
func TestWatchAgain(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 1, testLimits)
	if r := result(t, n[0].Watch); r.Err != nil {
		t.Fatal(r.Err)
	}
	n[0].hub.WatchPresence(0, true)
	n[0].catchUp(t.Context()) // unsubscribes, and waits for it, as when nobody had watched a moment ago
	n[0].mustPublish("c", "x")
	result(t, func(d channel.Done) { n[0].Close([]byte("c"), d) })
	checkFor(t, patience/4, func() error { return n[0].saw(channel.Message{Type: channel.Offline, Content: "c"}, 1) })
}

// TestLayoutBesideAHungMaster: one of three masters hangs. The others say who serves what.
func TestLayoutBesideAHungMaster(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t, 0, neverDead)
	o := testOptions(redistest.Addrs(servers)...)
	o.Timeout = 2 * time.Second
	n := startNode(t, o, testLimits)
	servers[2].Signal(syscall.SIGSTOP)
	t.Cleanup(func() { servers[2].Signal(syscall.SIGCONT) })
	for range 12 { // whom it asks first is chance
		if err := n.layOut(); err != nil {
			t.Fatal(err)
		}
	}
}
