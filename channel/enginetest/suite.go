package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"icomet/channel"
)

var a = []byte("a")

// testPublish: when a publish is answered, the present subscribers have the message, and
// later ones find it stored.
func testPublish(t *testing.T, n *node) {
	n.join(t, channel.Join{Name: a})
	want := make([]channel.Message, 6)
	for i := range want {
		want[i] = message(int64(i+1), fmt.Sprint("m", i), channel.Data)
		wantOK(t, "Publish", n.publish(t, "a", want[i].Content), want[i].Seq)
		n.wantDelivered(t, want[i])
	}
	wantMessages(t, n.join(t, channel.Join{Name: a, Since: 1}).Replay, want[2:]...)
	wantOK(t, "Publish to another channel", n.publish(t, "b", "x"), 1)
	n.wantDelivered(t)
}

// testPublishFromMany: every call has one answer, no seq is given out twice, and the
// subscriber gets the messages in order.
func testPublishFromMany(t *testing.T, n *node) {
	const publishers, messages = 4, 100
	n.join(t, channel.Join{Name: a})
	var all [publishers]*answers
	var wg sync.WaitGroup
	for i := range all {
		all[i] = newAnswers(messages)
		wg.Go(func() {
			for range messages {
				n.engine.Publish(&channel.Publication{Name: a, Content: "x"}, all[i].next())
			}
		})
	}
	wg.Wait()
	var seqs []int64
	for _, answers := range all {
		for _, r := range answers.wait(t) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			seqs = append(seqs, r.Seq)
		}
	}
	slices.Sort(seqs)
	want := make([]channel.Message, len(seqs))
	for i := range seqs {
		if want[i] = message(int64(i+1), "x", channel.Data); seqs[i] != want[i].Seq {
			t.Fatalf("seq %d was given out as %d", want[i].Seq, seqs[i])
		}
	}
	n.wantDelivered(t, want...)
}

// testBroadcast: every channel has the message, each with its own seq.
func testBroadcast(t *testing.T, n *node) {
	n.publish(t, "a", "1")
	n.publish(t, "a", "2")
	n.sign(t, "b")
	n.join(t, channel.Join{Name: a})
	if r := n.broadcast(t, "all"); r.Err != nil {
		t.Fatal(r.Err)
	}
	n.wantDelivered(t, message(3, "all", channel.Broadcast))
	b := n.join(t, channel.Join{Name: []byte("b"), Since: 1})
	wantMessages(t, b.Replay, message(1, "all", channel.Broadcast))
	wantOK(t, "the Publish after it", n.publish(t, "a", "4"), 4)
}

func testSign(t *testing.T, n *node) {
	first := n.sign(t, "a")
	wantOK(t, "Sign of a new channel", first, 1)
	if len(first.Token) != 32 {
		t.Errorf("token %q", first.Token)
	}
	for range 6 {
		n.publish(t, "a", "x")
	}
	again := n.sign(t, "a")
	wantOK(t, "Sign", again, 3)
	if again.Token != first.Token || n.sign(t, "b").Token == first.Token {
		t.Error("a token is its channel's, for as long as that lives")
	}
	n.join(t, channel.Join{Name: a, Auth: true, Token: []byte(first.Token)})
	j := channel.Join{Name: []byte("b"), Auth: true, Token: []byte(first.Token)}
	if _, err := n.tryJoin(t, j); !errors.Is(err, channel.ErrToken) {
		t.Errorf("with another channel's token: %v", err)
	}
}

func testClear(t *testing.T, n *node) {
	n.join(t, channel.Join{Name: a})
	n.publish(t, "a", "x")
	wantOK(t, "Clear", n.clear(t, "a"), 2)
	wantOK(t, "Publish", n.publish(t, "a", "y"), 2)
	second := message(2, "y", channel.Data)
	n.wantDelivered(t, message(1, "x", channel.Data), second)
	wantMessages(t, n.join(t, channel.Join{Name: a, Since: 1}).Replay, second)
}

func testClose(t *testing.T, n *node) {
	token := n.sign(t, "a").Token
	old := n.join(t, channel.Join{Name: a})
	n.publish(t, "a", "x")
	wantOK(t, "Close", n.close(t, "a"), 2)
	n.wantDelivered(t, message(1, "x", channel.Data), message(2, "", channel.Closed))
	wantErr(t, "Close again", n.close(t, "a"), channel.ErrNotFound)
	wantOK(t, "Publish to the new channel", n.publish(t, "a", "y"), 1)
	n.wantDelivered(t)
	n.hub.Leave(old.Channel, 0, true)
	wantMessages(t, n.join(t, channel.Join{Name: a, Since: 1}).Replay, message(1, "y", channel.Data))
	if n.sign(t, "a").Token == token {
		t.Error("the token outlived its channel")
	}
}

func testUnknownChannel(t *testing.T, n *node) {
	wantErr(t, "Clear", n.clear(t, "a"), channel.ErrNotFound)
	wantErr(t, "Close", n.close(t, "a"), channel.ErrNotFound)
	if r := n.broadcast(t, "nobody"); r.Err != nil {
		t.Errorf("Broadcast without channels: %v", r.Err)
	}
	if n.info(t, "").Channels != 0 {
		t.Error("a call that needs a channel created it")
	}
}

func testMaxChannels(t *testing.T, n *node) {
	for i := range limits.MaxChannels {
		wantOK(t, "Publish", n.publish(t, fmt.Sprint(i), "x"), 1)
	}
	wantErr(t, "Publish", n.publish(t, "more", "x"), channel.ErrTooManyChannels)
	wantErr(t, "Sign", n.sign(t, "more"), channel.ErrTooManyChannels)
	wantOK(t, "Publish to one that is there", n.publish(t, "0", "x"), 2)
	wantOK(t, "Close", n.close(t, "0"), 3)
	wantOK(t, "Publish to the place given free", n.publish(t, "more", "x"), 1)
}

// testCallerReusesName: the server's names are slices of its read buffer.
func testCallerReusesName(t *testing.T, n *node) {
	buf := make([]byte, 1)
	reused := func(do func(name []byte, d channel.Done)) channel.Result {
		return call(t, func(d channel.Done) {
			copy(buf, "a")
			do(buf, d)
			copy(buf, "z")
		})
	}
	wantOK(t, "Publish", reused(func(b []byte, d channel.Done) { n.engine.Publish(&channel.Publication{Name: b, Content: "x"}, d) }), 1)
	wantOK(t, "Sign", reused(func(b []byte, d channel.Done) { n.engine.Sign(b, 0, d) }), 1)
	wantOK(t, "Clear", reused(func(b []byte, d channel.Done) { n.engine.Clear(b, d) }), 2)
	if !n.info(t, "a").Alive || n.info(t, "z").Alive {
		t.Error("the channel does not have the name that was asked for")
	}
	wantOK(t, "Close", reused(func(b []byte, d channel.Done) { n.engine.Close(b, d) }), 2)
}

// testCallFromDone: a Done may make the next call at once.
func testCallFromDone(t *testing.T, n *node) {
	r := call(t, func(d channel.Done) {
		n.engine.Publish(&channel.Publication{Name: a, Content: "1"}, doneFunc(func(channel.Result) {
			n.engine.Broadcast("2", "", doneFunc(func(channel.Result) {
				n.engine.Sign(a, 0, doneFunc(func(channel.Result) {
					n.engine.Publish(&channel.Publication{Name: a, Content: "3"}, d)
				}))
			}))
		}))
	})
	wantOK(t, "the last of the chain", r, 3)
}

func testStop(t *testing.T, n *node) {
	n.publish(t, "a", "x")
	n.engine.Stop()
	n.engine.Stop()
	for name, r := range map[string]channel.Result{
		"Publish": n.publish(t, "a", "y"), "Broadcast": n.broadcast(t, "y"), "Sign": n.sign(t, "a"),
		"Clear": n.clear(t, "a"), "Close": n.close(t, "a"),
	} {
		wantErr(t, name, r, channel.ErrStopped)
	}
}

// testStopInTheMiddle: each call is answered once, and all accepted calls are answered
// before Stop returns.
func testStopInTheMiddle(t *testing.T, n *node) {
	const callers, rounds = 4, 50
	n.join(t, channel.Join{Name: a})
	var all [callers]*answers
	var wg sync.WaitGroup
	started := make(chan struct{}, callers)
	for i := range all {
		all[i] = newAnswers(rounds * 4)
		wg.Go(func() {
			for round := range rounds {
				n.engine.Publish(&channel.Publication{Name: a, Content: "x"}, all[i].next())
				n.engine.Broadcast("x", "", all[i].next())
				n.engine.Sign(a, 0, all[i].next())
				n.engine.Clear(a, all[i].next())
				if round == 1 {
					started <- struct{}{}
				}
			}
		})
	}
	for range callers {
		<-started
	}
	n.engine.Stop()
	delivered := len(n.sink.take())
	wg.Wait()
	published := 0
	for _, answers := range all {
		for i, r := range answers.wait(t) {
			switch {
			case r.Err == nil && i%4 == 0:
				published++
			case r.Err != nil && !errors.Is(r.Err, channel.ErrStopped) && !errors.Is(r.Err, channel.ErrOverloaded):
				t.Errorf("call %d: %v", i, r.Err)
			}
		}
	}
	if late := n.sink.take(); len(late) != 0 || published > delivered {
		t.Errorf("%d published, %d delivered by Stop and %v after it", published, delivered, late)
	}
}
