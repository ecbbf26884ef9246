package redis

import (
	"errors"
	goflag "flag"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"icomet/channel"
)

// patience is how long a test waits for something that must happen.
const patience = 60 * time.Second

// lateness is how much later than due something may happen. Only "make torture" has the
// machine to itself; in other runs an answer may take any time within patience.
var lateness = func() time.Duration {
	if os.Getenv("ICOMET_TORTURE") == "full" {
		return 1100 * time.Millisecond
	}
	return patience
}()

// atOnce is how many parallel tests run at a time: most of a test is waiting.
const atOnce = "4"

func TestMain(m *testing.M) {
	goflag.Parse()
	if f := goflag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(atOnce); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// checkFor calls try until it returns nil, for at most limit.
func checkFor(t testing.TB, limit time.Duration, try func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v: %v", limit, err)
		}
	}
}

// testNode is an engine with its hub, its clock and one sink.
type testNode struct {
	*Engine
	t      testing.TB
	hub    *channel.Hub
	sink   *sink
	ticker chan struct{}
	ticked sync.WaitGroup
}

var testLimits = channel.Limits{MaxChannels: 100_000, MaxSubscribers: 100_000, BufferSize: 10, Timeout: 30 * time.Second}

// testOptions are for tests in which Redis is there all the time: no call is given up and
// no node is taken for dead because the machine is busy.
func testOptions(addrs ...string) Options {
	return Options{
		Addresses: addrs, Prefix: "t:", Pool: 2, DialTimeout: patience,
		Timeout: patience / 2, NodeTimeout: patience / 2,
		// Tests must not depend on the check of quiet channels by chance.
		CheckInterval: time.Hour,
	}
}

// hasty gives up soon, for tests in which Redis is away for a while.
func hasty(o Options) Options {
	o.DialTimeout, o.Timeout, o.NodeTimeout = 500*time.Millisecond, 800*time.Millisecond, 2*time.Second
	return o
}

// startNode connects a node; it is stopped at the end of the test.
func startNode(t testing.TB, o Options, limits channel.Limits) *testNode {
	t.Helper()
	n := &testNode{t: t, hub: channel.NewHub(limits), sink: new(sink), ticker: make(chan struct{})}
	n.hub.AddSink(n.sink)
	n.connect(o)
	t.Cleanup(n.end)
	return n
}

func (n *testNode) connect(o Options) {
	n.t.Helper()
	log := new(quietLog)
	log.t = n.t
	if o.Hub = n.hub; o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	n.t.Cleanup(log.end)
	// The start has the time of one call. When calls are hasty that may be too little.
	checkFor(n.t, patience, func() (err error) {
		n.Engine, err = New(o)
		return err
	})
	n.ticked.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for start := time.Now(); ; {
			select {
			case <-n.ticker:
				return
			case <-tick.C:
				n.hub.Tick(time.Since(start))
			}
		}
	})
}

func (n *testNode) end() {
	n.Stop()
	select {
	case <-n.ticker:
	default:
		close(n.ticker)
	}
	n.ticked.Wait()
}

// quietLog hands log lines to the test until it ends.
type quietLog struct {
	mu    sync.Mutex
	t     testing.TB
	ended bool
}

func (l *quietLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.t.Logf("%s", p)
	}
	return len(p), nil
}

func (l *quietLog) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
}

// sink stores what is pushed, by channel.
type sink struct {
	mu       sync.Mutex
	inbox    []delivery
	presence []channel.Message
	epochs   []uint32 // that channels have got
	onPush   func()   // set while nothing is pushed
	full     bool     // what Full returns
}

type delivery struct {
	ch *channel.Channel
	m  channel.Message
}

func (s *sink) Push(ch *channel.Channel, m channel.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := m.NewEpoch(); e != 0 {
		s.epochs = append(s.epochs, e)
	}
	m.At = 0 // tests compare whole messages
	if ch == nil {
		s.presence = append(s.presence, m)
	} else {
		s.inbox = append(s.inbox, delivery{ch, m})
		if s.onPush != nil {
			s.onPush()
		}
	}
	return false
}

func (s *sink) Wake() {}

func (s *sink) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full
}

func (s *sink) HalfFull() bool { return s.Full() }
func (s *sink) Busy() bool     { return s.Full() }

func (s *sink) setFull(full bool) {
	s.mu.Lock()
	s.full = full
	s.mu.Unlock()
}

func (s *sink) renamed() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epochs
}

func (s *sink) of(ch *channel.Channel) (out []channel.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.inbox {
		if d.ch == ch {
			out = append(out, d.m)
		}
	}
	return out
}

// result makes one call and waits for its answer.
func result(t testing.TB, do func(channel.Done)) channel.Result {
	t.Helper()
	got := make(chan channel.Result, 1)
	do(doneFunc(func(r channel.Result) { got <- r }))
	select {
	case r := <-got:
		return r
	case <-time.After(patience):
		t.Fatalf("a call is not answered within %v", patience)
		return channel.Result{}
	}
}

type doneFunc func(channel.Result)

func (f doneFunc) Done(r channel.Result) { f(r) }

func (n *testNode) publishTo(name, content string) channel.Result {
	n.t.Helper()
	return result(n.t, func(d channel.Done) { n.Publish(&channel.Publication{Name: []byte(name), Content: content}, d) })
}

func (n *testNode) mustPublish(name, content string) int64 {
	n.t.Helper()
	r := n.publishTo(name, content)
	if r.Err != nil {
		n.t.Fatalf("publish to %s: %v", name, r.Err)
	}
	return r.Seq
}

func (n *testNode) info(name string) channel.Result {
	n.t.Helper()
	r := result(n.t, func(d channel.Done) { n.Info([]byte(name), d) })
	if r.Err != nil {
		n.t.Fatalf("info %s: %v", name, r.Err)
	}
	return r
}

// tryJoin subscribes as the server does.
func (n *testNode) tryJoin(j channel.Join) (channel.Joined, error) {
	n.t.Helper()
	for {
		got, err := n.hub.Join(&j, nil)
		for i := range got.Replay {
			got.Replay[i].At = 0
		}
		if j.Fetched {
			n.Release(j.Name)
		}
		if !errors.Is(err, channel.ErrFetch) {
			return got, err
		}
		if r := result(n.t, func(d channel.Done) { n.Fetch(&j, d) }); r.Err != nil {
			return got, r.Err
		}
		j.Fetched = true
	}
}

func (n *testNode) join(name string, since int64) channel.Joined {
	n.t.Helper()
	got, err := n.tryJoin(channel.Join{Name: []byte(name), Since: since})
	if err != nil {
		n.t.Fatalf("join %s: %v", name, err)
	}
	return got
}
