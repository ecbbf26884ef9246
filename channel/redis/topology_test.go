package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

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
