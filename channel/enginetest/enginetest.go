package enginetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/channel"
)

// giveUp is how long a call may stay unanswered before the test fails.
const giveUp = 60 * time.Second

// Start returns a new engine over a new hub with these limits, neither with any channel.
// The suite stops the engine; t.Cleanup ends whatever else Start has started.
type Start func(t *testing.T, l channel.Limits) (channel.Engine, *channel.Hub)

// Run runs the suite.
func Run(t *testing.T, start Start) {
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *node)
	}{
		{"Publish", testPublish},
		{"PublishFromMany", testPublishFromMany},
		{"Broadcast", testBroadcast},
		{"Sign", testSign},
		{"Clear", testClear},
		{"Close", testClose},
		{"UnknownChannel", testUnknownChannel},
		{"MaxChannels", testMaxChannels},
		{"JoinErrors", testJoinErrors},
		{"MaxSubscribers", testMaxSubscribers},
		{"Fetch", testFetch},
		{"FetchReusesName", testFetchReusesName},
		{"Info", testInfo},
		{"Watch", testWatch},
		{"Status", testStatus},
		{"CallerReusesName", testCallerReusesName},
		{"CallFromDone", testCallFromDone},
		{"Stop", testStop},
		{"StopInTheMiddle", testStopInTheMiddle},
		{"Epoch", testEpoch},
		{"Recovery", testRecovery},
		{"IDs", testIDs},
		{"IDsFromMany", testIDsFromMany},
		{"BroadcastID", testBroadcastID},
		{"IfSeq", testIfSeq},
		{"End", testEnd},
		{"EndOfNothing", testEndOfNothing},
		{"Classes", testClasses},
		{"TTL", testTTL},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, newNode(t, start)) })
	}
}

var limits = channel.Limits{MaxChannels: 8, MaxSubscribers: 8, BufferSize: 4, Timeout: time.Hour}

// node is an engine with its hub and one sink.
type node struct {
	engine channel.Engine
	hub    *channel.Hub
	sink   *sink
}

func newNode(t *testing.T, start Start) *node {
	engine, hub := start(t, limits)
	n := &node{engine, hub, &sink{}}
	if hub.AddSink(n.sink) != 0 {
		t.Fatal("the hub must have no sink yet")
	}
	t.Cleanup(engine.Stop)
	return n
}

// call makes one engine call and waits for its answer.
func call(t *testing.T, do func(channel.Done)) channel.Result {
	t.Helper()
	a := newAnswers(1)
	do(a.next())
	return a.wait(t)[0]
}

func (n *node) publish(t *testing.T, name, content string) channel.Result {
	t.Helper()
	return call(t, func(d channel.Done) { n.engine.Publish(&channel.Publication{Name: []byte(name), Content: content}, d) })
}

func (n *node) sign(t *testing.T, name string) channel.Result {
	t.Helper()
	return call(t, func(d channel.Done) { n.engine.Sign([]byte(name), time.Hour, d) })
}

func (n *node) clear(t *testing.T, name string) channel.Result {
	t.Helper()
	return call(t, func(d channel.Done) { n.engine.Clear([]byte(name), d) })
}

func (n *node) close(t *testing.T, name string) channel.Result {
	t.Helper()
	return call(t, func(d channel.Done) { n.engine.Close([]byte(name), d) })
}

func (n *node) broadcast(t *testing.T, content string) channel.Result {
	t.Helper()
	return call(t, func(d channel.Done) { n.engine.Broadcast(content, "", d) })
}

func (n *node) info(t *testing.T, name string) channel.Result {
	t.Helper()
	r := call(t, func(d channel.Done) { n.engine.Info([]byte(name), d) })
	if r.Err != nil {
		t.Fatalf("Info(%s): %v", name, r.Err)
	}
	return r
}

// tryJoin joins as the server does: when the hub needs it (ErrFetch), the engine fetches.
func (n *node) tryJoin(t *testing.T, j channel.Join) (channel.Joined, error) {
	t.Helper()
	for {
		got, err := n.hub.Join(&j, nil)
		if j.Fetched {
			n.engine.Release(j.Name)
		}
		if !errors.Is(err, channel.ErrFetch) {
			return got, err
		}
		if r := call(t, func(d channel.Done) { n.engine.Fetch(&j, d) }); r.Err != nil {
			return got, r.Err
		}
		j.Fetched = true
	}
}

func (n *node) join(t *testing.T, j channel.Join) channel.Joined {
	t.Helper()
	got, err := n.tryJoin(t, j)
	if err != nil {
		t.Fatalf("Join(%s): %v", j.Name, err)
	}
	return got
}

// wantDelivered waits for these messages, since an engine of several nodes may answer a
// call before this node's subscribers have the message, and accepts no others.
func (n *node) wantDelivered(t *testing.T, want ...channel.Message) {
	t.Helper()
	var got []channel.Message
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(giveUp); len(got) < len(want) && time.Now().Before(end); <-tick.C {
		got = append(got, n.sink.take()...)
	}
	wantMessages(t, append(got, n.sink.take()...), want...)
}

// sink stores what is pushed.
type sink struct {
	mu    sync.Mutex
	inbox []channel.Message
}

func (s *sink) Push(_ *channel.Channel, m channel.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inbox = append(s.inbox, m)
	return false
}

func (s *sink) Wake()          {}
func (s *sink) Full() bool     { return false }
func (s *sink) HalfFull() bool { return false }
func (s *sink) Busy() bool     { return false }

func (s *sink) take() []channel.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.inbox
	s.inbox = nil
	return out
}

// answers collects the results of a known number of calls, and detects a second answer to
// one call.
type answers struct {
	results  []channel.Result
	given    int
	waiting  sync.WaitGroup
	repeated atomic.Int32
}

type answer struct {
	to   *answers
	i    int
	done atomic.Bool
}

func newAnswers(calls int) *answers {
	a := &answers{results: make([]channel.Result, calls)}
	a.waiting.Add(calls)
	return a
}

// next returns the Done of one more call.
func (a *answers) next() channel.Done {
	a.given++
	return &answer{to: a, i: a.given - 1}
}

func (d *answer) Done(r channel.Result) {
	if d.done.Swap(true) {
		d.to.repeated.Add(1)
		return
	}
	d.to.results[d.i] = r
	d.to.waiting.Done()
}

// wait returns all results, in the order of next.
func (a *answers) wait(t *testing.T) []channel.Result {
	t.Helper()
	all := make(chan struct{})
	go func() {
		a.waiting.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(giveUp):
		t.Fatalf("of %d calls not all are answered within %v", a.given, giveUp)
	}
	a.checkOnce(t)
	return a.results
}

func (a *answers) checkOnce(t *testing.T) {
	t.Helper()
	if n := a.repeated.Load(); n != 0 {
		t.Errorf("%d calls were answered again", n)
	}
}

// doneFunc is a Done that calls a function.
type doneFunc func(channel.Result)

func (f doneFunc) Done(r channel.Result) { f(r) }

func wantOK(t *testing.T, call string, r channel.Result, seq int64) {
	t.Helper()
	if r.Err != nil || r.Seq != seq {
		t.Fatalf("%s: seq %d, %v; want seq %d", call, r.Seq, r.Err, seq)
	}
}

func wantErr(t *testing.T, call string, r channel.Result, want error) {
	t.Helper()
	if !errors.Is(r.Err, want) || r.Seq != 0 || r.Token != "" {
		t.Fatalf("%s: %+v; want the error %v alone", call, r, want)
	}
}

func message(seq int64, content string, typ channel.Type) channel.Message {
	return channel.Message{Seq: seq, Content: content, Type: typ}
}

func wantMessages(t *testing.T, got []channel.Message, want ...channel.Message) {
	t.Helper()
	for i := range got {
		got[i].At = 0
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}
