package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
	"icomet/channel/redis/redistest"
)

// neverDead is for tests in which no master is replaced.
const neverDead = time.Minute

// TestSuiteCluster: three masters on this machine, as a user with few rights.
func TestSuiteCluster(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t, 0, neverDead, redistest.User(t.Name())...)
	o := testOptions(redistest.Addrs(servers)...)
	o.Username, o.Password = "push", "of-push"
	runSuiteWith(t, o)
}

func sentinelOptions(s *redistest.Server) Options {
	o := testOptions(s.Addr())
	o.Sentinel = "mymaster"
	return o
}

func TestSuiteSentinel(t *testing.T) {
	t.Parallel()
	_, _, sentinel := redistest.StartSentinel(t, neverDead)
	runSuiteWith(t, sentinelOptions(sentinel))
}

// TestSentinelFailover kills the master. What was replicated is there, and everything
// goes on with the new master without help.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master, _, sentinel := redistest.StartSentinel(t, deadAfter)
	var nodes []*testNode
	for range 2 {
		nodes = append(nodes, startNode(t, hasty(sentinelOptions(sentinel)), deep()))
	}
	failOver(t, nodes, func() {
		master.Replicated()
		master.Kill()
	})
}

// TestClusterFailover kills one of three masters, each with a replica. The channels of
// the other masters are served meanwhile.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t, 1, deadAfter)
	var nodes []*testNode
	for range 2 {
		nodes = append(nodes, startNode(t, hasty(testOptions(redistest.Addrs(servers)...)), deep()))
	}
	failOver(t, nodes, func() {
		servers[0].Replicated()
		servers[0].Kill()
		l := startLoad(t, nodes, channelNames(30))
		l.more(t, 200) // while a third of the channels is away
		l.end()
	})
}

// failOver puts load on the nodes before and after, and checks that every acknowledged
// message arrives once.
func failOver(t *testing.T, nodes []*testNode, kill func()) {
	t.Helper()
	names := channelNames(30)
	readers := startReaders(nodes, names)
	before := startLoad(t, nodes, names)
	before.more(t, 300)
	before.end()
	before.checkAll(t, readers)
	kill()
	for _, r := range readers {
		r.read()
		clear(r.got)
	}
	checkFor(t, patience, func() error {
		for _, n := range nodes {
			for _, name := range names {
				if r := n.publishTo(name, "probe"); r.Err != nil {
					return fmt.Errorf("%s: %w", name, r.Err)
				}
			}
		}
		return nil
	})
	after := startLoad(t, nodes, names)
	after.more(t, 300)
	after.end()
	after.checkAll(t, readers)
	wantNotMoved(t, readers)
	for _, n := range nodes {
		checkFor(t, patience, func() error {
			if !n.up() {
				return errors.New("it does not say that it is up")
			}
			return n.counts(names[0], 2, 2*len(names))
		})
	}
}

// lowSlots are channels of which a third is below the slot, so on the first master.
func lowSlots(t *testing.T, n *testNode, below int) (names []string) {
	t.Helper()
	var ask []rueidis.Completed
	for _, p := range n.parts {
		ask = append(ask, n.client.B().ClusterKeyslot().Key(p.base).Build())
	}
	answers := n.client.DoMulti(t.Context(), ask...)
	low, high := 10, 20
	for i := 0; low+high > 0; i++ {
		name := fmt.Sprint("c", i)
		slot, err := answers[n.partition([]byte(name)).index].AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		left := &high
		if int(slot) < below {
			left = &low
		}
		if *left > 0 {
			*left--
			names = append(names, name)
		}
	}
	return names
}

// TestClusterSlotsMove moves the slots of some partitions to another master under load.
func TestClusterSlotsMove(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t, 0, neverDead)
	var nodes []*testNode
	for range 2 {
		nodes = append(nodes, startNode(t, testOptions(redistest.Addrs(servers)...), deep()))
	}
	const slots = 500 // the first of the first master; each takes some milliseconds
	names := lowSlots(t, nodes[0], slots)
	readers := startReaders(nodes, names)
	l := startLoad(t, nodes, names)
	l.more(t, 200)
	args := []string{"--cluster", "reshard", servers[0].Addr(), "--cluster-slots", itoa(slots), "--cluster-yes"}
	args = append(args, "--cluster-from", nodeID(servers[0]), "--cluster-to", nodeID(servers[1]))
	servers[0].CLI(args...)
	if text := servers[0].CLI("cluster", "slots"); !strings.HasPrefix(text, fmt.Sprint("0\n", slots-1, "\n")) {
		t.Fatalf("other slots have moved: %s", text)
	}
	l.more(t, 200)
	l.end()
	l.checkAll(t, readers)
	wantNotMoved(t, readers)
}

func nodeID(s *redistest.Server) string {
	id := s.CLI("cluster", "myid")
	return id[:len(id)-1]
}

// TestClusterSlotHalfMoved: for a while, a part of a slot's keys is on one master and the
// rest on another, as in each move of a slot. The slot's channels are not served then, and
// none begins anew; the other channels are served. After the move everything goes on.
func TestClusterSlotHalfMoved(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t, 0, neverDead)
	o := testOptions(redistest.Addrs(servers)...)
	o.CheckInterval, o.NodeTimeout = 300*time.Millisecond, 5*time.Second
	var nodes []*testNode
	for range 2 {
		nodes = append(nodes, startNode(t, o, deep()))
	}
	names := lowSlots(t, nodes[0], 5000)
	name, other := "", ""
	for _, c := range names { // two channels on one lane, in two slots
		p := nodes[0].partition([]byte(c))
		if slot, _ := strconv.Atoi(strings.TrimSpace(servers[0].CLI("cluster", "keyslot", p.due))); slot >= 5000 {
			continue
		}
		switch first := nodes[0].partition([]byte(name)); {
		case name == "":
			name = c
		case other == "" && p != first && p.index%o.Pool == first.index%o.Pool:
			other = c
		}
	}
	if other == "" {
		t.Fatal("no two channels share a lane")
	}
	for _, n := range nodes {
		if r := result(t, n.Watch); r.Err != nil {
			t.Fatal(r.Err)
		}
		n.hub.WatchPresence(0, true)
	}
	p := nodes[0].partition([]byte(name))
	halfMoved(t, servers, nodes, name, other, p.due)
	p = nodes[0].partition([]byte(other))
	halfMoved(t, servers, nodes, other, name, p.state(other))
	result(t, func(d channel.Done) { nodes[1].Close([]byte(name), d) })
	for _, n := range nodes {
		checkFor(t, patience/4, func() error { return n.saw(channel.Message{Type: channel.Offline, Content: name}, 1) })
		if k := n.stats.reconnects.Load(); k > 4 {
			t.Errorf("%d pub/sub connections were made anew", k)
		}
	}
}

// compared counts the comparisons that are not for a subscription that has ended.
func (n *testNode) compared() uint64 {
	return n.stats.refreshed() - n.stats.refreshes[whyReconnect].Load()
}

// halfMoved moves a channel's slot, one key of it well before the others.
func halfMoved(t *testing.T, servers []*redistest.Server, nodes []*testNode, name, served, key string) {
	t.Helper()
	r := newReader(nodes[0], name)
	nodes[1].mustPublish(name, "1")
	m := &slotMove{from: servers[0], to: servers[1], all: servers}
	m.begin(key)
	refreshes := nodes[0].compared()
	for range 10 {
		if res := nodes[1].publishTo(name, "refused"); res.Err == nil {
			t.Fatalf("a publish to the moving slot: %+v", res)
		}
		if _, err := nodes[1].tryJoin(channel.Join{Name: []byte(name), Since: 1}); err == nil {
			t.Fatal("a new copy in the moving slot")
		}
		if res := result(t, func(d channel.Done) { nodes[1].Sign([]byte(name), time.Minute, d) }); res.Err == nil {
			t.Fatalf("a token for a channel in the moving slot: %+v", res)
		}
		nodes[1].mustPublish(served, "served")
		time.Sleep(nodes[0].opts.CheckInterval / 5) // the fault lasts over several comparisons
	}
	if k := nodes[0].compared() - refreshes; k > 0 {
		t.Errorf("%d copies were compared, though nothing was known of them", k)
	}
	m.end()
	checkFor(t, patience, func() error { return nodes[1].publishTo(name, "2").Err })
	if seq := nodes[0].mustPublish(name, "3"); seq < 3 {
		t.Errorf("the channel has begun anew: seq %d", seq)
	}
	checkFor(t, patience, func() error { return r.has([]string{"1", "2", "3"}) })
	if r.moved > 0 {
		t.Errorf("moved %d times", r.moved)
	}
	checkFor(t, patience, func() error { // the next comparisons are not for this move
		for _, n := range nodes {
			if at := n.partition([]byte(name)).group.Load().addr; at != servers[1].Addr() {
				return fmt.Errorf("a node finds the slot on %s", at)
			}
		}
		p := nodes[0].partition([]byte(name))
		p.mu.Lock()
		defer p.mu.Unlock()
		if m := p.mirrors[name]; m == nil || !m.live || !m.subscribed {
			return errors.New("the copy is not live")
		}
		return nil
	})
}

// slotMove moves one slot from a master to another, in two steps.
type slotMove struct {
	from, to *redistest.Server
	all      []*redistest.Server
	slot     string
}

// begin moves one key, and so begins to move its slot.
func (m *slotMove) begin(key string) {
	m.slot = strings.TrimSpace(m.from.CLI("cluster", "keyslot", key))
	m.to.CLI("cluster", "setslot", m.slot, "importing", nodeID(m.from))
	m.from.CLI("cluster", "setslot", m.slot, "migrating", nodeID(m.to))
	m.migrate(key)
}

func (m *slotMove) migrate(key string) {
	host, port, _ := net.SplitHostPort(m.to.Addr())
	m.from.CLI("migrate", host, port, key, "0", "60000")
}

// end moves the other keys, and gives the slot to the other master.
func (m *slotMove) end() {
	for _, key := range strings.Fields(m.from.CLI("cluster", "getkeysinslot", m.slot, "1000")) {
		m.migrate(key)
	}
	for _, s := range append([]*redistest.Server{m.to, m.from}, m.all...) {
		s.CLI("cluster", "setslot", m.slot, "node", nodeID(m.to))
	}
}

// TestClusterMasterOutOfMemory: one of three masters is at its maxmemory, and it is not the
// one with the heartbeats. The node stays ready, for the other channels, and the log has one
// line.
func TestClusterMasterOutOfMemory(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t, 0, neverDead)
	log := new(countLog)
	o := hasty(testOptions(redistest.Addrs(servers)...))
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	n := startNode(t, o, deep())
	master := func(key string) int { // each has a third of the slots
		slot, err := strconv.Atoi(strings.TrimSpace(servers[0].CLI("cluster", "keyslot", key)))
		if err != nil {
			t.Fatal(err)
		}
		return min(slot/5461, 2)
	}
	full := (master(n.nodeKeys()[0]) + 1) % len(servers)
	name := ""
	for _, c := range channelNames(100) {
		if name == "" && master(n.partition([]byte(c)).due) == full {
			name = c
		}
	}
	checkFor(t, patience, func() error { return n.publishTo(name, "x").Err })
	before := log.count()
	servers[full].CLI("config", "set", "maxmemory", "1")
	end := time.Now().Add(5 * time.Second)
	checkFor(t, patience, func() error {
		if res := n.publishTo(name, "refused"); res.Err == nil {
			t.Fatal("a full master has taken a publish")
		}
		if err := n.Ready(); err != nil {
			t.Fatalf("not ready: %v", err)
		}
		if time.Now().Before(end) {
			return errors.New("not yet")
		}
		return nil
	})
	servers[full].CLI("config", "set", "maxmemory", "0")
	checkFor(t, patience, func() error { return n.publishTo(name, "again").Err })
	checkFor(t, patience, func() error {
		if text := log.text(); !strings.Contains(text, "memory again") {
			return errors.New(text)
		}
		return nil
	})
	if k := strings.Count(log.text(), "is out of memory"); k > 1 || log.count()-before > 6 {
		t.Errorf("the log:\n%s", log.text())
	}
}
