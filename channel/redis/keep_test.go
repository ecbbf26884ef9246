package redis

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"icomet/channel"
	"icomet/channel/redis/redistest"
)

// keyEnds is the remaining time of each key, in ms.
func keyEnds(s *redistest.Server) map[string]int64 {
	script := `local out = {}
for _, key in ipairs(redis.call('KEYS', 't:*')) do out[#out + 1] = redis.call('PTTL', key) .. ' ' .. key end
return out`
	ends := make(map[string]int64)
	for line := range strings.Lines(s.CLI("eval", script, "0")) {
		if left, key, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			ends[key], _ = strconv.ParseInt(left, 10, 64)
		}
	}
	return ends
}

// busy makes keys of every kind.
func (n *testNode) busy(name string) {
	n.t.Helper()
	n.mustPublish(name+"published", "x")
	n.mustPublish(name+"cleared", "x")
	result(n.t, func(d channel.Done) { n.Clear([]byte(name+"cleared"), d) })
	n.mustPublish(name+"cleared", "x")
	for _, signed := range []string{"signed", "closed"} {
		result(n.t, func(d channel.Done) { n.Sign([]byte(name+signed), time.Hour, d) })
	}
	result(n.t, func(d channel.Done) { n.Close([]byte(name+"closed"), d) })
	n.join(name+"joined", 0)
	if r := result(n.t, func(d channel.Done) { n.Broadcast("x", "", d) }); r.Err != nil {
		n.t.Fatal(r.Err)
	}
}

// TestEveryKeyEnds: when all nodes are killed at once, no key is left for ever.
func TestEveryKeyEnds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := testOptions(s.Addr())
	o.KeepTime = time.Hour
	nodes := []*testNode{startNode(t, o, testLimits), startNode(t, o, testLimits)}
	nodes[0].busy("0")
	nodes[1].busy("0")
	nodes[1].busy("1")
	ends := keyEnds(s)
	if len(ends) < 20 {
		t.Fatalf("%d keys: %v", len(ends), ends)
	}
	for key, left := range ends {
		most := o.KeepTime
		if strings.HasPrefix(key, "t:{nodes}") {
			most *= 2
		}
		if left <= 0 || left > most.Milliseconds() {
			t.Errorf("%s ends in %d ms", key, left)
		}
	}
}

// TestKeysOfBefore: keys without an end, as an older version has left them, get one.
func TestKeysOfBefore(t *testing.T) {
	t.Parallel()
	s, nodes := startNodes(t, 1, testLimits)
	n := nodes[0]
	n.mustPublish("c", "x")
	n.join("c", 0)
	p := n.partition([]byte("c"))
	keys := []string{p.state("c"), p.base + "h:c", p.base + "n:" + n.node, p.base + "ns", p.due}
	for _, key := range keys {
		if out := s.CLI("persist", key); out != "1\n" {
			t.Fatalf("persist %s: %s", key, out)
		}
	}
	checkFor(t, patience, func() error {
		ends := keyEnds(s)
		for _, key := range keys {
			if ends[key] <= 0 {
				return fmt.Errorf("%s ends in %d ms", key, ends[key])
			}
		}
		return nil
	})
}

// age makes each key expire in a minute.
func age(s *redistest.Server) (keys []string) {
	script := `local keys = redis.call('KEYS', 't:*')
for _, key in ipairs(keys) do redis.call('EXPIRE', key, 60) end
return keys`
	return strings.Fields(s.CLI("eval", script, "0"))
}

// TestQuietChannelsOutliveKeepTime: while a node runs, a quiet channel with a subscriber
// stays, and so does one that was signed for a long time.
func TestQuietChannelsOutliveKeepTime(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := testOptions(s.Addr())
	o.KeepTime, o.NodeTimeout = time.Hour, 2*time.Second
	n := startNode(t, o, testLimits)
	n.mustPublish("quiet", "x")
	j := n.join("quiet", 2)
	token := result(t, func(d channel.Done) { n.Sign([]byte("signed"), time.Hour, d) }).Token
	for hour := range 3 {
		aged := age(s)
		if len(aged) < 8 {
			t.Fatalf("%d keys: %v", len(aged), aged)
		}
		checkFor(t, patience, func() error {
			ends := keyEnds(s)
			for _, key := range aged {
				if ends[key] < (30 * time.Minute).Milliseconds() {
					return fmt.Errorf("%s ends in %d ms", key, ends[key])
				}
			}
			return nil
		})
		if r := n.info("quiet"); !r.Alive || r.Channels != 0 {
			t.Fatalf("%d hours after the last activity: %+v", hour+1, r)
		}
	}
	other := startNode(t, o, testLimits)
	if got := other.join("quiet", 1); len(got.Replay) != 1 || got.Next != 2 {
		t.Errorf("its history on another node: %+v", got)
	}
	if r := result(t, func(d channel.Done) { other.Sign([]byte("signed"), time.Hour, d) }); r.Token != token {
		t.Errorf("signed as %q and %q", token, r.Token)
	}
	if seq := other.mustPublish("quiet", "y"); seq != 2 {
		t.Errorf("it goes on at %d", seq)
	}
	n.wait(j.Channel, data(2, "y"))
}

// TestEverythingEndsWithTheNodes: with the last node all that is stored goes.
func TestEverythingEndsWithTheNodes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := testOptions(s.Addr())
	o.KeepTime = time.Second
	nodes := []*testNode{startNode(t, o, testLimits), startNode(t, o, testLimits)}
	for _, n := range nodes {
		n.mustPublish("quiet", "x")
		n.join("quiet", 2)
		result(t, func(d channel.Done) { n.Sign([]byte("signed"), time.Hour, d) })
	}
	for _, n := range nodes {
		n.die()
	}
	checkFor(t, patience, func() error {
		if ends := keyEnds(s); len(ends) > 0 {
			return fmt.Errorf("left: %v", ends)
		}
		return nil
	})
}
