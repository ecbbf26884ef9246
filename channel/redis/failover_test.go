package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
)

// deadAfter is how long a master is silent before another takes over: far longer than a
// process on a busy machine waits for its turn.
const deadAfter = 2 * time.Second

// TestSentinelFailoverUnderLoad kills the master while clients publish and read.
func TestSentinelFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	master, replica, sentinel := redistest.StartSentinel(t, deadAfter)
	failOverUnderLoad(t, sentinelOptions(sentinel), master, replica)
}

// TestClusterFailoverUnderLoad is the same with one of three masters.
func TestClusterFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t, 1, deadAfter)
	failOverUnderLoad(t, testOptions(redistest.Addrs(servers)...), servers[0], servers[3:]...)
}

// failOverUnderLoad: publishes are refused within a second, and work again without help.
// Every subscriber has each message that was acknowledged and replicated before, or
// acknowledged after, exactly once and in order. Later subscribers may lack what the
// master had not replicated. Nobody has a message twice.
func failOverUnderLoad(t *testing.T, o Options, master *redistest.Server, replicas ...*redistest.Server) {
	t.Helper()
	var nodes []*testNode
	for range 3 {
		nodes = append(nodes, startNode(t, hasty(o), deep()))
	}
	names := channelNames(30)
	readers := startReaders(nodes, names)
	l := startLoad(t, nodes, names)
	l.more(t, 300)
	replicated := l.snapshot()
	master.Replicated()
	for _, r := range replicas { // it is cut off, and its master does not let it connect again
		r.CLI("config", "set", "masteruser", "nobody", "masterauth", "x")
	}
	master.CLI("client", "kill", "type", "replica")
	l.more(t, 100) // these the replica does not have
	master.Kill()
	l.moreRefused(t)
	between := l.snapshot()
	checkFor(t, patience, func() error {
		for _, n := range nodes {
			for _, name := range names {
				if r := n.publishTo(name, "probe of "+n.node); r.Err != nil {
					return fmt.Errorf("%s: %w", name, r.Err)
				}
			}
		}
		return nil
	})
	l.more(t, 300)
	l.end()
	l.wantQuick(t)
	moved := 0
	for _, r := range readers {
		list := l.acked[r.name]
		after := list[len(between[r.name]):]
		checkFor(t, patience, func() error { return r.has(replicated[r.name]) })
		checkFor(t, patience, func() error { return r.has(after) })
		for content, n := range r.got {
			if n > 1 && content[0] != 'p' {
				t.Errorf("%s has %q %d times", r.name, content, n)
			}
		}
		if r.closed {
			t.Errorf("%s was closed", r.name)
		}
		moved += r.moved
	}
	if moved == 0 {
		t.Error("nothing was lost: the test tests nothing")
	}
}

// TestParted: Redis has other messages under seqs that a copy already has. That is
// noticed after a reconnect and by the check of quiet channels. The subscribers are told
// where the common part ends, and get the other messages from there.
func TestParted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		others []string // stored from seq 4 on
		want   int64    // next, at the end
	}{
		"fewer": {[]string{"o4"}, 5}, "as many": {[]string{"o4", "o5"}, 6}, "more": {[]string{"o4", "o5", "o6", "o7"}, 8},
		"none":              {nil, 4},
		"partly the same":   {[]string{"4", "o5", "o6"}, 7},
		"only marks differ": {[]string{"4", "5"}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			s, n := startChecked(t, testLimits)
			p := n.partition([]byte("c"))
			r := newReader(n, "c")
			for i := range 5 {
				n.mustPublish("c", itoa(i+1))
			}
			checkFor(t, patience, func() error { return r.has([]string{"1", "5"}) })
			s.CLI("ltrim", p.base+"h:c", "0", "2")
			for i, content := range c.others {
				s.CLI("rpush", p.base+"h:c", fmt.Sprintf("Dother%03d%s", i+1, content))
			}
			s.CLI("hset", p.state("c"), "n", itoa(c.want), "m", fmt.Sprintf("other%03d", len(c.others)))
			s.CLI("client", "kill", "type", "pubsub")
			var want []string
			for _, content := range c.others {
				if content[0] == 'o' {
					want = append(want, content)
				}
			}
			checkFor(t, patience, func() error {
				if r.read(); r.moved == 0 {
					return errors.New("nobody was told")
				}
				return r.has(want)
			})
			if seq := n.mustPublish("c", "last"); seq != c.want {
				t.Errorf("it goes on at %d, want %d", seq, c.want)
			}
			checkFor(t, patience, func() error { return r.has(append(want, "last", "1", "2", "3")) })
			if r.moved != 1 || n.stats.gaps.Load() != 1 {
				t.Errorf("told %d times, counted %d", r.moved, n.stats.gaps.Load())
			}
		})
	}
}

// snapshot is what has been acknowledged so far.
func (l *load) snapshot() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string][]string)
	for name, list := range l.acked {
		out[name] = list[:len(list):len(list)]
	}
	return out
}
