package enginetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"icomet/channel"
)

// send publishes with conditions.
func (n *node) send(t *testing.T, p channel.Publication) channel.Result {
	t.Helper()
	return call(t, func(d channel.Done) { n.engine.Publish(&p, d) })
}

func (n *node) end(t *testing.T, name string) channel.Result {
	t.Helper()
	return n.send(t, channel.Publication{Name: []byte(name), End: true, NoContent: true})
}

// look joins for a moment, as a poll does.
func (n *node) look(t *testing.T, j channel.Join) channel.Joined {
	t.Helper()
	got := n.join(t, j)
	if got.Subscribed {
		n.hub.Leave(got.Channel, 0, true)
	}
	return got
}

// testEpoch: it stays while the channel lives, and another life has another one.
func testEpoch(t *testing.T, n *node) {
	first := n.publish(t, "a", "x")
	if first.Epoch == 0 {
		t.Fatal("no epoch")
	}
	again := n.publish(t, "a", "y").Epoch
	n.clear(t, "a")
	n.sign(t, "a")
	joined := n.look(t, channel.Join{Name: a})
	if again != first.Epoch || n.publish(t, "a", "z").Epoch != first.Epoch || joined.Channel.Epoch() != first.Epoch {
		t.Error("the epoch of a channel has changed")
	}
	if n.publish(t, "b", "x").Epoch == first.Epoch {
		t.Error("two channels have one epoch")
	}
	seen := map[uint32]bool{first.Epoch: true}
	for range 20 {
		n.close(t, "a")
		e := n.publish(t, "a", "x").Epoch
		if e == 0 || seen[e] {
			t.Fatalf("epoch %08x in another life", e)
		}
		seen[e] = true
	}
}

// testRecovery: what a subscriber is told that comes with each kind of position. Of the
// channel's ten messages the last four are stored.
func testRecovery(t *testing.T, n *node) {
	var epoch uint32
	for i := range 10 {
		epoch = n.publish(t, "a", fmt.Sprint(i+1)).Epoch
	}
	recovered := channel.Recovery{Recovered: true}
	unknown := channel.Recovery{Lost: channel.LostUnknown, Reason: channel.ReasonEpoch}
	for _, tc := range []struct {
		name   string
		join   channel.Join
		want   channel.Recovery
		first  int64
		replay int
	}{
		{"from now", channel.Join{Epoch: epoch}, recovered, 11, 0},
		{"from now, without an epoch", channel.Join{}, recovered, 11, 0},
		{"from now, of another life", channel.Join{Epoch: epoch ^ 1}, recovered, 11, 0},
		{"up to date", channel.Join{Epoch: epoch, Since: 11}, recovered, 11, 0},
		{"one behind", channel.Join{Epoch: epoch, Since: 10}, recovered, 10, 1},
		{"the oldest", channel.Join{Epoch: epoch, Since: 7}, recovered, 7, 4},
		{"one too old", channel.Join{Epoch: epoch, Since: 6}, channel.Recovery{Lost: 1, Reason: channel.ReasonTrimmed}, 7, 4},
		{"the first", channel.Join{Epoch: epoch, Since: 1}, channel.Recovery{Lost: 6, Reason: channel.ReasonTrimmed}, 7, 4},
		{"ahead", channel.Join{Epoch: epoch, Since: 12}, channel.Recovery{Lost: channel.LostUnknown, Reason: channel.ReasonAhead}, 11, 0},
		{"another life", channel.Join{Epoch: epoch ^ 1, Since: 9}, unknown, 7, 4},
		{"another life, ahead", channel.Join{Epoch: epoch ^ 1, Since: 99}, unknown, 7, 4},
		{"another life, up to date", channel.Join{Epoch: epoch ^ 1, Since: 11}, unknown, 7, 4},
		{"no epoch yet, the first", channel.Join{Since: 1}, recovered, 7, 4},
		{"no epoch yet, in the middle", channel.Join{Since: 9}, unknown, 9, 2},
		{"no epoch yet, too old", channel.Join{Since: 3}, unknown, 7, 4},
		{"no epoch yet, ahead", channel.Join{Since: 99}, unknown, 11, 0},
		{"the last two", channel.Join{Last: 2}, recovered, 9, 2},
		{"the last of all", channel.Join{Last: 1 << 40, Epoch: epoch}, recovered, 7, 4},
		{"the last two, whatever the seq", channel.Join{Last: 2, Since: 1, Epoch: epoch ^ 1}, recovered, 9, 2},
	} {
		tc.join.Name, tc.join.Position, tc.join.OneShot = a, true, true
		got := n.look(t, tc.join)
		if got.Recovery != tc.want || got.First != tc.first || len(got.Replay) != tc.replay {
			t.Errorf("%s: %+v, first %d, %d messages; want %+v, first %d, %d messages",
				tc.name, got.Recovery, got.First, len(got.Replay), tc.want, tc.first, tc.replay)
		}
	}
	n.clear(t, "a")
	cleared := channel.Recovery{Lost: 1, Reason: channel.ReasonTrimmed}
	if got := n.look(t, channel.Join{Name: a, Position: true, Epoch: epoch, Since: 10}); got.Recovery != cleared || got.First != 11 {
		t.Errorf("after a Clear: %+v, first %d", got.Recovery, got.First)
	}
}

// testIDs: a publish with an id that one of the last messages has is not carried out again.
func testIDs(t *testing.T, n *node) {
	n.join(t, channel.Join{Name: a})
	first := n.send(t, channel.Publication{Name: a, Content: "1", ID: "x"})
	wantOK(t, "Publish", first, 1)
	again := n.send(t, channel.Publication{Name: a, Content: "other", ID: "x"})
	wantOK(t, "Publish again", again, 1)
	if first.Duplicate || !again.Duplicate || again.Epoch != first.Epoch {
		t.Errorf("%+v, again %+v", first, again)
	}
	wantOK(t, "Publish to another channel", n.send(t, channel.Publication{Name: []byte("b"), Content: "1", ID: "x"}), 1)
	wantOK(t, "Publish with another id", n.send(t, channel.Publication{Name: a, Content: "2", ID: "y"}), 2)
	n.clear(t, "a")
	wantOK(t, "after a Clear", n.send(t, channel.Publication{Name: a, Content: "1", ID: "x"}), 1)
	n.wantDelivered(t, message(1, "1", channel.Data), message(2, "2", channel.Data))
	for i := range 62 { // the id of message 1 is now of the 64th last
		wantOK(t, "Publish", n.publish(t, "a", "x"), int64(i+3))
	}
	wantOK(t, "at the end of the window", n.send(t, channel.Publication{Name: a, Content: "1", ID: "x"}), 1)
	n.publish(t, "a", "x")
	wantOK(t, "beyond the window", n.send(t, channel.Publication{Name: a, Content: "1", ID: "x"}), 66)
	wantOK(t, "Publish of the later one again", n.send(t, channel.Publication{Name: a, Content: "1", ID: "x"}), 66)
	n.close(t, "a")
	wantOK(t, "in another life", n.send(t, channel.Publication{Name: a, Content: "1", ID: "x"}), 1)
}

// testIDsFromMany: of publishes with one id that come at the same time, one is carried out.
func testIDsFromMany(t *testing.T, n *node) {
	n.join(t, channel.Join{Name: a})
	const callers, ids = 4, 20
	var all [callers]*answers
	var wg sync.WaitGroup
	for i := range all {
		all[i] = newAnswers(ids)
		wg.Go(func() {
			for id := range ids {
				p := channel.Publication{Name: a, Content: "x", ID: fmt.Sprint("id", id)}
				n.engine.Publish(&p, all[i].next())
			}
		})
	}
	wg.Wait()
	seqs := make(map[int]int64)
	fresh := 0
	for _, answers := range all {
		for id, r := range answers.wait(t) {
			if r.Err != nil || seqs[id] != 0 && seqs[id] != r.Seq {
				t.Fatalf("id%d: %+v, before it was %d", id, r, seqs[id])
			}
			if seqs[id] = r.Seq; !r.Duplicate {
				fresh++
			}
		}
	}
	if fresh != ids {
		t.Errorf("%d messages of %d ids", fresh, ids)
	}
	wantOK(t, "the next", n.publish(t, "a", "y"), ids+1)
}

// testBroadcastID: a broadcast that is repeated reaches the channels that do not have it.
func testBroadcastID(t *testing.T, n *node) {
	n.publish(t, "a", "x")
	send := func() {
		if r := call(t, func(d channel.Done) { n.engine.Broadcast("all", "id", d) }); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	send()
	n.publish(t, "b", "x")
	send()
	send()
	for _, name := range []string{"a", "b"} {
		wantMessages(t, n.look(t, channel.Join{Name: []byte(name), Since: 1}).Replay,
			message(1, "x", channel.Data), message(2, "all", channel.Broadcast))
	}
	if r := n.send(t, channel.Publication{Name: a, Content: "z", ID: "id"}); !r.Duplicate || r.Seq != 2 {
		t.Errorf("a publish with the id of a broadcast: %+v", r)
	}
}

// testIfSeq: a publish on a condition is carried out as that message or not at all.
func testIfSeq(t *testing.T, n *node) {
	wantConflict := func(what string, r channel.Result, seq int64, epoch uint32, err error) {
		t.Helper()
		if r.Err != err || r.Seq != seq || r.Epoch != epoch {
			t.Errorf("%s: %+v; want %v with seq %d, epoch %08x", what, r, err, seq, epoch)
		}
	}
	ifSeq := func(seq int64, epoch uint32, id string) channel.Result {
		return n.send(t, channel.Publication{Name: a, Content: "x", OnlyIf: true, IfSeq: seq, IfEpoch: epoch, ID: id})
	}
	wantConflict("an unknown channel, message 2", ifSeq(2, 0, ""), 1, 0, channel.ErrConflict)
	wantConflict("an unknown channel with an epoch", ifSeq(1, 7, ""), 1, 0, channel.ErrConflict)
	if n.info(t, "").Channels != 0 {
		t.Error("a refused publish has made a channel")
	}
	first := ifSeq(1, 0, "")
	wantOK(t, "message 1", first, 1)
	wantConflict("message 1 again", ifSeq(1, 0, ""), 2, first.Epoch, channel.ErrConflict)
	wantConflict("message 3", ifSeq(3, 0, ""), 2, first.Epoch, channel.ErrConflict)
	wantConflict("message 2 of another life", ifSeq(2, first.Epoch^1, ""), 2, first.Epoch, channel.ErrConflict)
	wantOK(t, "message 2", ifSeq(2, first.Epoch, "id"), 2)
	if r := ifSeq(9, 0, "id"); r.Err != nil || !r.Duplicate || r.Seq != 2 {
		t.Errorf("a repeated id with another condition: %+v", r)
	}
}

// testEnd: behind the end there is nothing, and who comes later is told so.
func testEnd(t *testing.T, n *node) {
	wantErr(t, "the end of an unknown channel", n.end(t, "a"), channel.ErrNotFound)
	n.join(t, channel.Join{Name: a})
	n.publish(t, "a", "x")
	last := channel.Publication{Name: a, Content: "y", End: true, ID: "last"}
	wantOK(t, "End", n.send(t, last), 3)
	wantOK(t, "End again", n.send(t, last), 3)
	wantOK(t, "End without content", n.end(t, "a"), 3)
	if r := n.publish(t, "a", "z"); r.Err != channel.ErrEnded || r.Seq != 3 || r.Epoch == 0 {
		t.Errorf("a publish behind the end: %+v", r)
	}
	if r := n.send(t, channel.Publication{Name: a, Content: "y", ID: "last"}); r.Err != nil || !r.Duplicate || r.Seq != 2 {
		t.Errorf("the id of the last message: %+v", r)
	}
	if r := n.broadcast(t, "all"); r.Err != nil {
		t.Error(r.Err)
	}
	n.wantDelivered(t, message(1, "x", channel.Data), message(2, "y", channel.Final))
	for since, replay := range map[int64]int{0: 0, 1: 2, 2: 1, 3: 0, 9: 0} {
		got := n.join(t, channel.Join{Name: a, Since: since})
		if !got.Ended || got.Subscribed || got.Next != 3 || len(got.Replay) != replay {
			t.Errorf("a Join from %d: %+v", since, got)
		}
	}
	n.clear(t, "a")
	if got := n.join(t, channel.Join{Name: a, Since: 1}); !got.Ended || len(got.Replay) != 0 {
		t.Errorf("after a Clear: %+v", got)
	}
	wantOK(t, "Close", n.close(t, "a"), 3)
	n.wantDelivered(t)
	wantOK(t, "Publish in another life", n.publish(t, "a", "x"), 1)
}

// testEndOfNothing: a channel may be created by its end, and end without a message.
func testEndOfNothing(t *testing.T, n *node) {
	wantOK(t, "End with content", n.send(t, channel.Publication{Name: a, End: true}), 2)
	wantMessages(t, n.join(t, channel.Join{Name: a, Since: 1}).Replay, message(1, "", channel.Data))
	n.join(t, channel.Join{Name: []byte("b")})
	wantOK(t, "End", n.end(t, "b"), 1)
	n.wantDelivered(t, message(1, "", channel.Ended))
}

// testClasses: each channel has what the first class that fits its name says.
func testClasses(t *testing.T, n *node) {
	l := limits
	l.Classes = []channel.Class{
		{Match: "two.*", BufferSize: 2, MaxSubscribers: 1, Timeout: time.Hour},
		{Match: "none.?", BufferSize: 0, MaxSubscribers: 8, Timeout: time.Hour},
		{Match: "bytes.*", BufferSize: 4, BufferBytes: 10, MaxSubscribers: 8, Timeout: time.Hour},
		{Match: "*.x", BufferSize: 3, MaxSubscribers: 8, Timeout: time.Hour},
	}
	n.hub.SetLimits(l)
	for name, kept := range map[string]int{"two.x": 2, "none.1": 0, "none.12": 4, "a": 4, "b.x": 3} {
		for range 5 {
			n.publish(t, name, "1")
		}
		if got := len(n.look(t, channel.Join{Name: []byte(name), Since: 1}).Replay); got != kept {
			t.Errorf("%s: %d messages are stored, want %d", name, got, kept)
		}
		n.close(t, name)
	}
	for _, tc := range []struct{ sizes, kept []int }{
		{[]int{4, 4, 4}, []int{4, 4}}, {[]int{4, 6}, []int{4, 6}}, {[]int{1, 99}, []int{99}}, {[]int{1, 99, 1}, []int{1}},
	} {
		for _, size := range tc.sizes {
			n.publish(t, "bytes.1", strings.Repeat("x", size))
		}
		var kept []int
		for _, m := range n.look(t, channel.Join{Name: []byte("bytes.1"), Since: 1}).Replay {
			kept = append(kept, len(m.Content))
		}
		if fmt.Sprint(kept) != fmt.Sprint(tc.kept) {
			t.Errorf("of %v bytes %v are stored, want %v", tc.sizes, kept, tc.kept)
		}
		n.close(t, "bytes.1")
	}
	n.join(t, channel.Join{Name: []byte("two.a")})
	if _, err := n.tryJoin(t, channel.Join{Name: []byte("two.a")}); err != channel.ErrTooManySubscribers {
		t.Errorf("a second subscriber where one may be: %v", err)
	}
}

// testTTL: a message is stored for its class's time, and then gone for newcomers.
func testTTL(t *testing.T, n *node) {
	started := time.Now()
	l := limits
	l.BufferTTL = 2 * time.Second
	n.hub.SetLimits(l)
	n.hub.SetTime(time.Since(started))
	epoch := n.publish(t, "a", "1").Epoch
	n.publish(t, "a", "2")
	if got := n.look(t, channel.Join{Name: a, Since: 1}).Replay; time.Since(started) < l.BufferTTL && len(got) != 2 {
		t.Errorf("%d of 2 messages are stored", len(got))
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(giveUp); ; <-tick.C {
		n.hub.SetTime(time.Since(started))
		got := n.look(t, channel.Join{Name: a, Since: 1, Position: true, Epoch: epoch})
		if len(got.Replay) == 0 {
			if want := (channel.Recovery{Lost: 2, Reason: channel.ReasonTrimmed}); got.Recovery != want || got.First != 3 {
				t.Errorf("%+v, first %d", got.Recovery, got.First)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("still there after %v: %v", giveUp, got.Replay)
		}
	}
	if age := time.Since(started); age < l.BufferTTL {
		t.Errorf("gone after %v", age)
	}
	wantOK(t, "Publish", n.publish(t, "a", "3"), 3)
	if n.sign(t, "a").Seq != 3 {
		t.Error("a sign gives the seq of a message that is gone")
	}
}
