package redis

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"icomet/channel"
	"icomet/channel/redis/redistest"
)

// pair carries out each call in memory and on one of two nodes, and compares the answers.
type pair struct {
	memory, redis *testNode // redis is one of nodes
	nodes         []*testNode
	lives         map[string][][2]uint32 // name → the epochs of its lives: in memory, in Redis
}

// likeLimits have channels that keep nothing, and some that count bytes.
var likeLimits = channel.Limits{
	MaxChannels: 100_000, MaxSubscribers: 100_000, BufferSize: 3, Timeout: testLimits.Timeout,
	Classes: []channel.Class{
		{Match: "none*", MaxSubscribers: 1000, Timeout: testLimits.Timeout, IDWindow: 64},
		{Match: "bytes*", MaxSubscribers: 1000, Timeout: 2 * testLimits.Timeout, BufferSize: 4, BufferBytes: 5, IDWindow: 64},
	},
}

// memoryNode has the same engine as a server without Redis.
func memoryNode(t *testing.T) *testNode {
	n := &testNode{t: t, hub: channel.NewHub(likeLimits), sink: new(sink)}
	n.hub.AddSink(n.sink)
	return n
}

// TestLikeMemory: random calls, each on any of two nodes, have the answers that a server
// without Redis gives.
func TestLikeMemory(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := &pair{memory: memoryNode(t), lives: make(map[string][][2]uint32)}
	engine := channel.NewMemory(p.memory.hub)
	t.Cleanup(engine.Stop)
	for range 2 {
		p.nodes = append(p.nodes, startNode(t, testOptions(s.Addr()), likeLimits))
	}
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		var names []string
		for _, kind := range []string{"some", "none", "bytes"} {
			names = append(names, fmt.Sprint(kind, round))
		}
		for range rapid.IntRange(1, 30).Draw(r, "calls") {
			p.redis = p.nodes[rapid.IntRange(0, 1).Draw(r, "node")]
			name := rapid.SampledFrom(names).Draw(r, "name")
			switch rapid.SampledFrom([]string{"publish", "publish", "publish", "join", "join", "sign", "clear", "close", "broadcast"}).Draw(r, "call") {
			case "publish":
				p.publish(r, engine, name)
			case "join":
				p.join(r, name)
			case "sign":
				p.both(r, name, "sign", func(e channel.Engine, d channel.Done) { e.Sign([]byte(name), likeLimits.Timeout, d) }, engine)
			case "clear":
				p.both(r, name, "clear", func(e channel.Engine, d channel.Done) { e.Clear([]byte(name), d) }, engine)
			case "close":
				p.both(r, name, "close", func(e channel.Engine, d channel.Done) { e.Close([]byte(name), d) }, engine)
			case "broadcast":
				id := rapid.SampledFrom([]string{"", "i", "j"}).Draw(r, "id")
				p.both(r, name, "broadcast", func(e channel.Engine, d channel.Done) { e.Broadcast("all", id, d) }, engine)
			}
		}
		p.redis = p.nodes[0]
		for _, name := range names {
			p.both(r, name, "close", func(e channel.Engine, d channel.Done) { e.Close([]byte(name), d) }, engine)
		}
	})
}

// both compares the answers to one call.
func (p *pair) both(t *rapid.T, name, what string, do func(channel.Engine, channel.Done), memory channel.Engine) {
	want := result(p.memory.t, func(d channel.Done) { do(memory, d) })
	got := result(p.memory.t, func(d channel.Done) { do(p.redis.Engine, d) })
	p.sameLife(t, what, name, want.Epoch, got.Epoch)
	got.Epoch, got.Token = want.Epoch, want.Token
	if got != want {
		t.Fatalf("%s %s: %+v, in memory %+v", what, name, got, want)
	}
}

// sameLife compares which life of the channel an epoch names.
func (p *pair) sameLife(t *rapid.T, what, name string, memory, redis uint32) {
	if memory == 0 && redis == 0 || slices.Contains(p.lives[name], [2]uint32{memory, redis}) {
		return
	}
	for _, life := range p.lives[name] {
		if life[0] == memory || life[1] == redis {
			t.Fatalf("%s %s: epoch %08x, in memory %08x; its lives: %08x", what, name, redis, memory, p.lives[name])
		}
	}
	p.lives[name] = append(p.lives[name], [2]uint32{memory, redis})
}

// anEpoch draws one of the channel's epochs, a foreign one, or none.
func (p *pair) anEpoch(t *rapid.T, name string) (memory, redis uint32) {
	known := append([][2]uint32{{}, {0x12345678, 0x12345678}}, p.lives[name]...)
	if n := len(known); rapid.Bool().Draw(t, "the last epoch") {
		return known[n-1][0], known[n-1][1]
	}
	one := rapid.SampledFrom(known).Draw(t, "epoch")
	return one[0], one[1]
}

func (p *pair) publish(t *rapid.T, engine channel.Engine, name string) {
	pub := channel.Publication{
		Name: []byte(name), Content: rapid.SampledFrom([]string{"", "x", "xyz", "long one"}).Draw(t, "content"),
		ID: rapid.SampledFrom([]string{"", "", "i", "j"}).Draw(t, "id"),
	}
	own := pub.IfEpoch
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0, 1:
		pub.OnlyIf, pub.IfSeq = true, int64(rapid.IntRange(1, 5).Draw(t, "if seq"))
		pub.IfEpoch, own = p.anEpoch(t, name)
	case 2:
		pub.End = true
		if pub.NoContent = rapid.Bool().Draw(t, "without content"); pub.NoContent {
			pub.Content, pub.ID = "", ""
		}
	}
	p.both(t, name, fmt.Sprintf("publish %+v", pub), func(e channel.Engine, d channel.Done) {
		pub := pub
		if e != engine {
			pub.IfEpoch = own
		}
		e.Publish(&pub, d)
	}, engine)
}

func (p *pair) join(t *rapid.T, name string) {
	j := channel.Join{
		Name: []byte(name), Since: int64(rapid.IntRange(0, 6).Draw(t, "since")), Position: rapid.Bool().Draw(t, "position"),
		OneShot: true, Existing: rapid.Bool().Draw(t, "existing"), Told: rapid.Bool().Draw(t, "told"),
		Last: int64(rapid.IntRange(-3, 3).Draw(t, "last")),
	}
	other := j
	j.Epoch, other.Epoch = p.anEpoch(t, name)
	p.redis.catchUp(p.memory.t.Context()) // what the other node has done has reached its copy
	want, wantErr := p.memory.tryJoin(j)
	got, gotErr := p.redis.tryJoin(other)
	if wantErr != gotErr {
		t.Fatalf("join %+v: %v, in memory %v", j, gotErr, wantErr)
	}
	if wantErr != nil {
		return
	}
	p.sameLife(t, "join", name, want.Channel.Epoch(), got.Channel.Epoch())
	for n, joined := range map[*testNode]*channel.Joined{p.memory: &want, p.redis: &got} {
		if joined.Subscribed {
			n.hub.Leave(joined.Channel, 0, true)
		}
		joined.Channel = nil
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("join %+v: %+v, in memory %+v", j, got, want)
	}
}
