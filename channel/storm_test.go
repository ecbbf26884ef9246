package channel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The storm: publishers, broadcasters, closers and a clock that frees channels run
// against fake event loops, whose subscribers join, poll and leave. Each loop checks what
// each of its subscribers gets from Joined.Next on: no gap, no duplicate, in order.

// stormSub is one subscriber of a loop: the next seq it must get.
type stormSub struct{ next int64 }

// stormLoop plays one event loop. Only its goroutine touches subs and polled.
type stormLoop struct {
	fakeSink
	t      *testing.T
	h      *Hub
	number int
	wake   chan struct{}
	subs   map[*Channel][]*stormSub
	polled map[*Channel]int64 // the next seq of this loop's poller
	online map[string]bool
	seen   *atomic.Int64 // messages that the subscribers of all loops have got
}

func newStormLoop(t *testing.T, h *Hub, limit int, seen *atomic.Int64) *stormLoop {
	l := &stormLoop{
		t: t, h: h,
		wake:   make(chan struct{}, 1),
		subs:   make(map[*Channel][]*stormSub),
		polled: make(map[*Channel]int64),
		online: make(map[string]bool),
		seen:   seen,
	}
	l.limit = limit
	l.onWake = func() {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	l.number = h.AddSink(l)
	h.WatchPresence(l.number, true)
	return l
}

// drain delivers what is in the inbox.
func (l *stormLoop) drain() {
	for _, d := range l.take() {
		if d.ch == nil {
			l.presence(d.m)
			continue
		}
		subs := l.subs[d.ch]
		for _, s := range subs {
			l.deliver(d, s)
		}
		if d.m.Type == Closed {
			delete(l.subs, d.ch)
			for i := range subs {
				l.h.Leave(d.ch, l.number, i == len(subs)-1)
			}
		}
	}
}

func (l *stormLoop) deliver(d delivery, s *stormSub) {
	switch {
	case d.m.Seq < s.next && d.m.Type != Closed:
		// It is in the replay, or before what was asked for.
	case d.m.Seq != s.next:
		l.t.Errorf("%s: got seq %d (type %d), want %d", d.ch.Name(), d.m.Seq, d.m.Type, s.next)
	case d.m.Type != Closed:
		l.seen.Add(1)
		s.next++
	}
}

// presence checks that no name goes offline that is not online. Online may be repeated.
func (l *stormLoop) presence(m Message) {
	if m.Type == Offline && !l.online[m.Content] && l.h.PresenceDropped() == 0 {
		l.t.Errorf("%s: offline and was not online", m.Content)
	}
	l.online[m.Content] = m.Type == Online
}

func (l *stormLoop) join(name []byte, since int64) {
	got, err := l.h.Join(&Join{Name: name, Since: since, Sink: l.number}, nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	l.checkReplay(got, since)
	l.subs[got.Channel] = append(l.subs[got.Channel], &stormSub{next: got.Next})
	if len(l.subs[got.Channel]) > 4 {
		l.leave(got.Channel)
	}
}

// checkReplay: the replay goes up to Next without a gap, from the wanted seq on, or from
// the oldest one of a full buffer.
func (l *stormLoop) checkReplay(got Joined, since int64) {
	first := got.Next - int64(len(got.Replay))
	for i, m := range got.Replay {
		if m.Seq != first+int64(i) {
			l.t.Errorf("replay since %d: %v, next %d", since, seqs(got.Replay), got.Next)
		}
	}
	if len(got.Replay) > 0 && (since <= 0 || first < since) {
		l.t.Errorf("replay since %d: %v, more than was asked for", since, seqs(got.Replay))
	}
	if since > 0 && since < got.Next && first != since && len(got.Replay) != small.BufferSize {
		l.t.Errorf("replay since %d: %v, fewer than are kept", since, seqs(got.Replay))
	}
}

// poll asks once, as a long-polling client that comes back with its seq.
func (l *stormLoop) poll(name []byte, c *Channel) {
	since := l.polled[c]
	got, err := l.h.Join(&Join{Name: name, Since: since, Sink: l.number, OneShot: true}, nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	if got.Channel == c || c == nil {
		l.checkReplay(got, since)
	}
	l.polled[got.Channel] = got.Next
	if got.Subscribed {
		l.subs[got.Channel] = append(l.subs[got.Channel], &stormSub{next: got.Next})
		l.leave(got.Channel)
	}
}

// leave ends one subscriber of c.
func (l *stormLoop) leave(c *Channel) {
	subs := l.subs[c]
	i := rand.IntN(len(subs))
	subs[i] = subs[len(subs)-1]
	if l.subs[c] = subs[:len(subs)-1]; len(subs) == 1 {
		delete(l.subs, c)
	}
	l.h.Leave(c, l.number, len(subs) == 1)
}

// step does one random operation.
func (l *stormLoop) step() {
	name := stormName()
	switch rand.IntN(4) {
	case 0:
		l.join(name, int64(rand.IntN(100)))
	case 1:
		for c := range l.polled {
			l.poll([]byte(c.Name()), c)
			break
		}
		if len(l.polled) > 100 {
			clear(l.polled)
		}
		l.poll(name, nil)
	default:
		for c := range l.subs {
			l.leave(c)
			break
		}
	}
}

// run drains and does random operations until stop, then only drains.
func (l *stormLoop) run(stop, end chan struct{}) {
	for {
		select {
		case <-l.wake:
			l.drain()
		case <-end:
			l.drain()
			return
		default:
			select {
			case <-stop:
				select {
				case <-l.wake:
					l.drain()
				case <-end:
				}
			default:
				l.step()
			}
		}
	}
}

const stormChannels = 12

func stormName() []byte { return fmt.Append(nil, "c", rand.IntN(stormChannels)) }

func TestStorm(t *testing.T) {
	t.Run("roomy", func(t *testing.T) {
		if refused, dropped := storm(t, 0); refused != 0 || dropped != 0 {
			t.Errorf("%d publishes refused, %d presence messages dropped without a limit", refused, dropped)
		}
	})
	t.Run("tight", func(t *testing.T) {
		if refused, dropped := storm(t, 8); refused == 0 || dropped == 0 {
			t.Errorf("%d publishes refused, %d presence messages dropped: the limit tests nothing", refused, dropped)
		}
	})
}

// The storm lasts for stormMessages of each publisher, and until subscribers have got
// stormSeen messages, which on a busy machine can take longer.
const stormPublishers, stormMessages, stormSeen = 6, 5000, 1000

// stormPublisher publishes, and does other calls depending on its number, as long as goOn
// says so. It counts what was refused.
func stormPublisher(t *testing.T, h *Hub, number int, goOn func() bool, refused *atomic.Int64) {
	for i := 0; i < stormMessages || goOn(); i++ {
		name := stormName()
		switch {
		case number == 0 && i%100 == 0:
			h.Broadcast("all", "", func() bool { runtime.Gosched(); return true })
		case number == 1 && i%40 == 0:
			h.Close(name)
		case number == 2 && i%60 == 0:
			h.Sign(name, time.Second)
		}
		if _, err := h.Publish(&Publication{Name: name, Content: "x"}); errors.Is(err, ErrOverloaded) {
			refused.Add(1)
			runtime.Gosched()
		} else if err != nil {
			t.Error(err)
		}
	}
}

func storm(t *testing.T, limit int) (refused int64, dropped uint64) {
	h := NewHub(small)
	var all []*stormLoop
	var seen atomic.Int64
	for range 3 {
		all = append(all, newStormLoop(t, h, limit, &seen))
	}
	deadline := time.Now().Add(time.Minute)
	goOn := func() bool { return seen.Load() < stormSeen && time.Now().Before(deadline) }
	stop, end := make(chan struct{}), make(chan struct{})
	var work, clocks, running sync.WaitGroup
	var overloaded atomic.Int64
	for _, l := range all {
		running.Go(func() { l.run(stop, end) })
	}
	for p := range stormPublishers {
		work.Go(func() { stormPublisher(t, h, p, goOn, &overloaded) })
	}
	now := time.Duration(0)
	clocks.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				now += 5 * time.Second // so that an unused channel is freed soon
				h.Tick(now)
				runtime.Gosched()
			}
		}
	})
	work.Wait()
	close(stop)
	clocks.Wait()
	close(end)
	running.Wait()
	checkStormEnd(t, h, all)
	if n := seen.Load(); n < stormSeen {
		t.Errorf("only %d messages were seen: the storm tests nothing", n)
	}
	dropped = h.PresenceDropped()
	checkStormLeaves(t, h, all, now)
	return overloaded.Load(), dropped
}

// checkStormEnd: every subscriber has every message, and the hub's counts are right.
func checkStormEnd(t *testing.T, h *Hub, all []*stormLoop) {
	t.Helper()
	checkHub(t, h)
	subscribers := 0
	for _, l := range all {
		for c, subs := range l.subs {
			subscribers += len(subs)
			for _, s := range subs {
				if c.closed || s.next != c.next {
					t.Errorf("%s (closed %v): a subscriber waits for %d, the channel for %d", c.Name(), c.closed, s.next, c.next)
				}
			}
		}
	}
	if h.Subscribers() != subscribers {
		t.Errorf("the hub counts %d subscribers, there are %d", h.Subscribers(), subscribers)
	}
}

// checkStormLeaves: when all have left, every channel is freed, and Offline was sent for
// each.
func checkStormLeaves(t *testing.T, h *Hub, all []*stormLoop, now time.Duration) {
	t.Helper()
	for _, l := range all {
		for c := range l.subs {
			for l.subs[c] != nil {
				l.leave(c)
			}
		}
	}
	for c := (&clock{h: h, now: now}); c.now < now+small.Timeout+time.Second; {
		c.to(c.now + tick)
		for _, l := range all {
			l.drain() // a sweep waits while a sink is half full
		}
	}
	checkHub(t, h)
	if h.Channels() != 0 || h.Subscribers() != 0 {
		t.Errorf("%d channels, %d subscribers are left", h.Channels(), h.Subscribers())
	}
	for _, l := range all {
		l.drain()
		for name, online := range l.online {
			if online && h.PresenceDropped() == 0 {
				t.Errorf("%s is online for sink %d", name, l.number)
			}
		}
	}
}

// TestPublishersSeeOneSequence: the seqs that many publishers get are 1 to n, each once.
func TestPublishersSeeOneSequence(t *testing.T) {
	const publishers, messages = 8, 500
	h, _ := newTestHub(t, small)
	var got [publishers*messages + 1]atomic.Int32
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			last := int64(0)
			for range messages {
				out, err := h.Publish(&Publication{Name: []byte("a"), Content: "x"})
				seq := out.Seq
				if err != nil || seq <= last {
					t.Errorf("seq %d after %d, %v", seq, last, err)
				}
				last = seq
				got[seq].Add(1)
			}
		})
	}
	wg.Wait()
	for seq := 1; seq < len(got); seq++ {
		if n := got[seq].Load(); n != 1 {
			t.Fatalf("seq %d was given %d times", seq, n)
		}
	}
}
