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

// deep has enough history for what is published while a node is cut off.
func deep() channel.Limits {
	l := testLimits
	l.BufferSize = 100_000
	return l
}

func channelNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("c", i))
	}
	return names
}

func startReaders(nodes []*testNode, names []string) (readers []*reader) {
	for _, n := range nodes {
		for _, name := range names {
			readers = append(readers, newReader(n, name))
		}
	}
	return readers
}

func wantNotMoved(t *testing.T, readers []*reader) {
	t.Helper()
	for _, r := range readers {
		if r.moved > 0 {
			t.Errorf("%s on %s was told %d times that something is missing", r.name, r.n.node, r.moved)
		}
	}
}

// underLoad lets a fault happen so many times while all nodes publish, with at least each
// acknowledged messages before and after. Then every subscriber has everything, and none
// was told that something is missing.
func underLoad(t *testing.T, nodes []*testNode, times, each int, fault func()) *load {
	t.Helper()
	names := channelNames(10)
	readers := startReaders(nodes, names)
	l := startLoad(t, nodes, names)
	for range times {
		l.more(t, each)
		fault()
	}
	l.more(t, each)
	l.end()
	l.checkAll(t, readers)
	wantNotMoved(t, readers)
	return l
}

// TestPubSubConnectionsCut kills every pub/sub connection again and again under load:
// nothing is lost, doubled or out of order, and nobody is told of a gap.
func TestPubSubConnectionsCut(t *testing.T) {
	t.Parallel()
	s, nodes := startNodes(t, 3, deep())
	underLoad(t, nodes, 10, 200, func() { s.CLI("client", "kill", "type", "pubsub") })
	if n := nodes[0].stats.reconnects.Load(); n == 0 {
		t.Error("no connection was cut: the test tests nothing")
	}
}

// TestAllConnectionsCut kills all connections: a publish may fail, but an acknowledged
// one is never lost.
func TestAllConnectionsCut(t *testing.T) {
	t.Parallel()
	s, nodes := startNodes(t, 3, deep())
	underLoad(t, nodes, 5, 200, func() {
		s.CLI("client", "kill", "type", "normal")
		s.CLI("client", "kill", "type", "pubsub")
	})
}

// startChecked connects a node that checks quiet channels every 300 ms.
func startChecked(t *testing.T, limits channel.Limits) (*redistest.Server, *testNode) {
	t.Helper()
	s := redistest.Start(t)
	o := testOptions(s.Addr())
	o.CheckInterval = 300 * time.Millisecond
	return s, startNode(t, o, limits)
}

// TestDroppedMessages: pub/sub loses a message without notice. The next message, or the
// check of quiet channels, brings it from history.
func TestDroppedMessages(t *testing.T) {
	t.Parallel()
	s, n := startChecked(t, deep())
	r := newReader(n, "c")
	p := n.partition([]byte("c"))
	n.mustPublish("c", "0")
	// Like a script, but without the publish, so no node is told.
	lose := func(seq int64, content string) {
		mark := fmt.Sprintf("%08d", seq)
		s.CLI("rpush", p.base+"h:c", "D"+mark+content)
		s.CLI("hset", p.state("c"), "n", itoa(seq+1), "m", mark)
	}
	lose(2, "1")
	n.mustPublish("c", "2")
	checkFor(t, patience, func() error { return r.has([]string{"0", "1", "2"}) })
	// The first may already be found when the subscriber is counted.
	want := []string{"0", "1", "2"}
	for seq := int64(4); seq < 8; seq++ {
		want = append(want, itoa(seq-1))
		lose(seq, itoa(seq-1))
		checkFor(t, patience, func() error { return r.has(want) })
	}
	if r.moved != 0 || n.stats.fetched.Load() < 5 {
		t.Errorf("moved %d times, %d fetched from history", r.moved, n.stats.fetched.Load())
	}
}

// TestGapIsTold: when the missed messages are gone from the history, the subscriber is
// told where to go on, and the gap is counted.
func TestGapIsTold(t *testing.T) {
	t.Parallel()
	s, n := startChecked(t, testLimits)
	r := newReader(n, "c")
	n.mustPublish("c", "0")
	p := n.partition([]byte("c"))
	for i := range 5 {
		s.CLI("rpush", p.base+"h:c", fmt.Sprintf("Dnewmark%d%d", i, i+100))
	}
	s.CLI("ltrim", p.base+"h:c", "-2", "-1")
	s.CLI("hset", p.state("c"), "n", "7", "m", "newmark4")
	checkFor(t, patience, func() error { return r.has([]string{"103", "104"}) })
	if n := n.mustPublish("c", "x"); n != 7 {
		t.Errorf("goes on at %d", n)
	}
	checkFor(t, patience, func() error { return r.has([]string{"x"}) })
	if r.moved != 1 || n.stats.gaps.Load() != 1 || n.stats.gapSubscribers.Load() != 1 {
		t.Errorf("told %d times, counted %d and %d", r.moved, n.stats.gaps.Load(), n.stats.gapSubscribers.Load())
	}
}

// TestKillRedis kills Redis (kill -9) under load, three times, with an append-only file
// synced at every write. Publishes are refused within a second; afterwards everything
// works again without help.
func TestKillRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	var nodes []*testNode
	for range 3 {
		nodes = append(nodes, startNode(t, hasty(testOptions(s.Addr())), deep()))
	}
	names := channelNames(10)
	readers := startReaders(nodes, names)
	l := startLoad(t, nodes, names)
	for range 3 {
		l.more(t, 100)
		s.Kill()
		l.moreRefused(t)
		s.Start()
	}
	l.more(t, 100)
	l.endQuick(t, readers)
}

// TestSlowRedis stops Redis for a while: publishes are answered within a second.
func TestSlowRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var nodes []*testNode
	for range 2 {
		nodes = append(nodes, startNode(t, hasty(testOptions(s.Addr())), deep()))
	}
	names := channelNames(4)
	readers := startReaders(nodes, names)
	l := startLoad(t, nodes, names)
	l.more(t, 100)
	s.Signal(syscall.SIGSTOP)
	l.moreRefused(t)
	start := time.Now()
	if _, err := nodes[0].tryJoin(channel.Join{Name: []byte("new")}); !errors.Is(err, channel.ErrUnavailable) {
		t.Errorf("a new channel's subscriber: %v", err)
	}
	if d := time.Since(start); d > hasty(testOptions()).Timeout+lateness {
		t.Errorf("it waited %v", d)
	}
	if got := nodes[0].join("c0", 0); !got.Subscribed {
		t.Error("a subscriber of a channel that is here was not let in")
	}
	s.Signal(syscall.SIGCONT)
	l.more(t, 100)
	l.endQuick(t, readers)
}

// TestFlushAll deletes everything stored under load. Each channel begins again, and its
// subscribers are told and go on from its first message.
func TestFlushAll(t *testing.T) {
	t.Parallel()
	s, nodes := startNodes(t, 2, deep())
	names := channelNames(4)
	readers := startReaders(nodes, names)
	idle := newReader(nodes[0], "idle")
	l := startLoad(t, nodes, names)
	l.more(t, 100)
	l.end()
	l.checkAll(t, readers)
	s.CLI("flushall")
	after := startLoad(t, nodes, append(names, "idle"))
	after.more(t, 200)
	after.end()
	for _, r := range append(readers, idle) {
		clear(r.got) // the contents are the same as before
	}
	checkFor(t, patience, func() error {
		for _, r := range append(readers, idle) {
			if r.read(); r.moved != 1 {
				return fmt.Errorf("%s was told %d times", r.name, r.moved)
			}
		}
		return nil
	})
	after.checkAll(t, append(readers, idle))
	for _, n := range nodes {
		checkFor(t, patience, func() error { return n.counts("c0", 2, 9) })
	}
}

// TestCongestedNode: while a loop of a node is full, publishes to that node are refused
// and nothing is lost. When the loop goes on, so does the node.
func TestCongestedNode(t *testing.T) {
	t.Parallel()
	_, nodes := startNodes(t, 2, deep())
	behind := nodes[0]
	r := newReader(behind, "c")
	behind.sink.setFull(true)
	var acked []string
	for i := range 50 {
		acked = append(acked, fmt.Sprint(i))
		nodes[1].mustPublish("c", acked[i])
	}
	checkFor(t, patience, func() error {
		if res := behind.publishTo("other", "x"); !errors.Is(res.Err, channel.ErrOverloaded) {
			return fmt.Errorf("a publish to the node that is behind: %v", res.Err)
		}
		return nil
	})
	if r.read(); len(r.got) > 0 {
		t.Errorf("%d messages for a loop that is full", len(r.got))
	}
	behind.sink.setFull(false)
	checkFor(t, patience, func() error { return r.has(acked) })
	checkFor(t, patience, func() error { return behind.publishTo("other", "x").Err })
	wantNotMoved(t, []*reader{r})
}

// TestCongestedAndGone: the channel for which a node has stopped reading ends. The node
// takes publishes again.
func TestCongestedAndGone(t *testing.T) {
	t.Parallel()
	_, nodes := startNodes(t, 2, deep())
	behind := nodes[0]
	newReader(behind, "c")
	behind.sink.setFull(true)
	nodes[1].mustPublish("c", "x")
	checkFor(t, patience, func() error {
		if res := behind.publishTo("other", "x"); !errors.Is(res.Err, channel.ErrOverloaded) {
			return fmt.Errorf("a publish to the node that is behind: %v", res.Err)
		}
		return nil
	})
	p := behind.partition([]byte("c"))
	p.mu.Lock()
	behind.uncopyLocked(p.mirrors["c"], 2) // as an answer on a new connection does
	p.mu.Unlock()
	checkFor(t, patience/4, func() error { return behind.publishTo("other", "x").Err })
}

// TestCrowdedUnderLoad: what Joins and counts of a crowded channel bring from Redis may
// be older than what this node has published and delivered meanwhile. That is no gap.
func TestCrowdedUnderLoad(t *testing.T) {
	t.Parallel()
	limits := deep()
	limits.MaxSubscribers = 4
	s := redistest.Start(t)
	n := startNode(t, testOptions(s.Addr()), limits)
	r := newReader(n, "c")
	n.join("c", 1)
	n.join("c", 1)
	l := startLoad(t, []*testNode{n, n, n, n}, []string{"c"})
	joins := 0
	checkFor(t, patience, func() error {
		j := n.join("c", 0)
		joins++
		n.hub.Leave(j.Channel, 0, false)
		if r.read(); r.moved > 0 {
			t.Fatal("the subscribers were told of a gap")
		}
		if acked, _ := l.count(); joins < 100 || acked < 1000 {
			return fmt.Errorf("%d Joins beside %d publishes", joins, acked)
		}
		return nil
	})
	if compared := n.stats.refreshed(); compared > 0 && n.stats.reconnects.Load() == 0 {
		t.Errorf("the copy was compared %d times: %+v", compared, n.Measures())
	}
	l.endQuick(t, []*reader{r})
}

// TestStrangeAnswers: a script of another version gives some Joins an answer that cannot
// be read. The Joins behind them in the same round trip are answered too.
func TestStrangeAnswers(t *testing.T) {
	good := joinScript
	joinScript = newScript("local function join()\n" + good.text + "\nend\nlocal out = join()\n" +
		"if string.find(ARGV[1], 'strange') then return {} end\nreturn out")
	allScripts = append(allScripts, joinScript)
	t.Cleanup(func() { joinScript, allScripts = good, allScripts[:len(allScripts)-1] }) // after the node's end
	_, nodes := startNodes(t, 2, deep())
	const joins = 200
	answers := make(chan error, joins)
	for i := range joins {
		name := fmt.Sprint("c", i)
		if i%20 == 0 {
			name = fmt.Sprint("strange", i)
		}
		nodes[0].Fetch(&channel.Join{Name: []byte(name)}, doneFunc(func(r channel.Result) { answers <- r.Err }))
	}
	for i := range joins {
		select {
		case err := <-answers:
			if err != nil && !errors.Is(err, channel.ErrUnavailable) {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatalf("%d of %d are answered, and no more within %v", i, joins, patience)
		}
	}
	checkFor(t, patience, func() error { // its connection comes back
		_, err := nodes[0].tryJoin(channel.Join{Name: []byte("c1")})
		return err
	})
	for i := 0; i < joins; i += 20 { // Redis has counted some of them, but all were refused
		checkFor(t, patience, func() error {
			if r := nodes[1].info(fmt.Sprint("strange", i)); r.Subscribers != 0 {
				return fmt.Errorf("strange%d: %+v", i, r)
			}
			return nil
		})
	}
}

// TestRedisOutOfMemory: at Redis's maxmemory, newcomers and publishes are refused. The
// connection stays, and when there is memory again everything works.
func TestRedisOutOfMemory(t *testing.T) {
	t.Parallel()
	s, nodes := startNodes(t, 1, deep())
	n := nodes[0]
	j := n.join("here", 1)
	n.mustPublish("here", "x")
	s.CLI("config", "set", "maxmemory", "1")
	if r := n.publishTo("here", "refused"); !errors.Is(r.Err, channel.ErrUnavailable) {
		t.Errorf("a publish: %+v", r)
	}
	if _, err := n.tryJoin(channel.Join{Name: []byte("new")}); !errors.Is(err, channel.ErrUnavailable) {
		t.Errorf("a new channel's subscriber: %v", err)
	}
	if got := n.join("here", 0); !got.Subscribed {
		t.Error("a subscriber of a channel that is here was not let in")
	}
	s.CLI("config", "set", "maxmemory", "0")
	n.join("new", 1)
	n.mustPublish("here", "y")
	n.wait(j.Channel, data(1, "x"), data(2, "y"))
	if k := n.stats.reconnects.Load(); k != 0 {
		t.Errorf("%d connections broke", k)
	}
}
