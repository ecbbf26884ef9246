package redis

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"icomet/channel"
	"icomet/channel/redis/redistest"
)

// oldHeartbeat begins as the heartbeat of a node of version 0.1 does.
var oldHeartbeat = newScript(`
local t = redis.call('TIME')
return redis.call('ZADD', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
`)

// TestOldNodes: beside nodes of version 0.1 a node does not start, and says why; beside
// nodes of this version one of version 0.1 does not start.
func TestOldNodes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := testOptions(s.Addr())
	seen := o.Prefix + "{nodes}seen"
	s.CLI("zadd", seen, fmt.Sprint(time.Now().UnixMilli()-2000), "old:1")
	o.Hub, o.Logger = channel.NewHub(testLimits), slog.New(slog.DiscardHandler)
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "nodes of version 0.1 use these channels") || !strings.Contains(err.Error(), "old:1") {
		t.Fatalf("beside a node of version 0.1: %v", err)
	}
	s.CLI("zadd", seen, fmt.Sprint(time.Now().Add(-oldPatience-time.Second).UnixMilli()), "old:1")
	n := startNode(t, o, testLimits)
	err := n.run(t.Context(), oldHeartbeat, []string{seen, o.Prefix + "{nodes}about"}, "old:2").Error()
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Fatalf("a heartbeat of version 0.1: %v", err)
	}
}

// TestOldChannels: the channels that version 0.1 has left behind go on.
func TestOldChannels(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	n := startNode(t, testOptions(s.Addr()), testLimits)
	p := n.partition([]byte("c"))
	s.CLI("hset", p.state("c"), "e", "0123456789abcdef", "n", "3", "s", "0", "d", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()), "m", "22222222")
	s.CLI("rpush", p.base+"h:c", "D11111111one", "B22222222two")
	s.CLI("zadd", p.due, fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()), "c")
	if r := n.publishTo("c", "three"); r.Err != nil || r.Seq != 3 || r.Epoch != 0x01234567 {
		t.Fatalf("%+v", r)
	}
	j, err := n.tryJoin(channel.Join{Name: []byte("c"), Since: 1, Position: true, Epoch: 0x01234567})
	if err != nil {
		t.Fatal(err)
	}
	want := []channel.Message{data(1, "one"), {Seq: 2, Content: "two", Type: channel.Broadcast}, data(3, "three")}
	if fmt.Sprint(j.Replay) != fmt.Sprint(want) || !j.Recovery.Recovered {
		t.Fatalf("%v, %+v", j.Replay, j.Recovery)
	}
}
