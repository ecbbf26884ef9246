package redis

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/channel"
)

// reader is a subscriber as on a loop: it skips what it has, checks that the rest comes
// in order and without a gap, and joins again when its channel has moved.
type reader struct {
	n    *testNode
	name string
	ch   *channel.Channel
	next int64

	got    map[string]int // content → how often
	moved  int            // times it was told of a gap
	closed bool
	errs   []error
}

func newReader(n *testNode, name string) *reader {
	r := &reader{n: n, name: name, got: make(map[string]int)}
	r.rejoin(channel.Join{Name: []byte(name), Since: 1})
	return r
}

func (r *reader) take(j channel.Joined) {
	r.ch, r.next = j.Channel, j.Next-int64(len(j.Replay))
	for _, m := range j.Replay {
		r.message(m)
	}
}

func (r *reader) message(m channel.Message) {
	switch {
	case m.Type == channel.Closed:
		r.closed = true
	case m.Seq < r.next:
	case m.Seq > r.next:
		r.errs = append(r.errs, fmt.Errorf("%s: %v came, %d was next", r.name, m, r.next))
		r.next = m.Seq + 1
	default:
		r.next++
		r.got[m.Content]++
	}
}

// read takes what the sink has for it.
func (r *reader) read() {
	for _, m := range r.n.sink.takeOf(r.ch) {
		if m.Type != channel.Moved {
			r.message(m)
			continue
		}
		r.moved++
		r.n.hub.Leave(r.ch, 0, true)
		r.rejoin(channel.Join{Name: []byte(r.name), Since: m.Seq, Fetched: true})
	}
}

// rejoin joins. While Redis does not answer it tries again, as a client does.
func (r *reader) rejoin(j channel.Join) {
	r.n.t.Helper()
	checkFor(r.n.t, patience, func() error {
		joined, err := r.n.tryJoin(j)
		if err != nil {
			return fmt.Errorf("join %s: %w", r.name, err)
		}
		r.take(joined)
		return nil
	})
}

// has checks that it has every content exactly once.
func (r *reader) has(contents []string) error {
	r.read()
	if len(r.errs) > 0 {
		return r.errs[0]
	}
	for _, c := range contents {
		if n := r.got[c]; n != 1 {
			return fmt.Errorf("%s on %s has %q %d times, %d messages in all", r.name, r.n.node, c, n, len(r.got))
		}
	}
	return nil
}

// takeOf takes a channel's messages.
func (s *sink) takeOf(ch *channel.Channel) (out []channel.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.inbox[:0]
	for _, d := range s.inbox {
		if d.ch == ch {
			out = append(out, d.m)
		} else {
			rest = append(rest, d)
		}
	}
	s.inbox = rest
	return out
}

// load publishes to channels on all nodes until it is stopped, and records what was
// acknowledged.
type load struct {
	id      int64 // no two loads publish the same contents
	mu      sync.Mutex
	acked   map[string][]string // by channel
	refused int
	slowest time.Duration // the slowest answer
	stop    chan struct{}
	running sync.WaitGroup
}

// loads is the number of loads so far.
var loads atomic.Int64

func startLoad(t *testing.T, nodes []*testNode, names []string) *load {
	t.Helper()
	l := &load{id: loads.Add(1), acked: make(map[string][]string), stop: make(chan struct{})}
	for i, n := range nodes {
		l.running.Go(func() { l.publish(t, n, i, names) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) publish(t *testing.T, n *testNode, node int, names []string) {
	for k := 0; ; k++ {
		select {
		case <-l.stop:
			return
		default:
		}
		name := names[k%len(names)]
		content := fmt.Sprintf("%d.%d.%d", l.id, node, k)
		got := make(chan channel.Result, 1)
		start := time.Now()
		n.Publish(&channel.Publication{Name: []byte(name), Content: content}, doneFunc(func(r channel.Result) { got <- r }))
		var r channel.Result
		select {
		case r = <-got:
		case <-time.After(patience):
			t.Errorf("publish %s to %s: not answered within %v", content, name, patience)
			return
		}
		l.mu.Lock()
		l.slowest = max(l.slowest, time.Since(start))
		if r.Err == nil {
			l.acked[name] = append(l.acked[name], content)
		} else {
			l.refused++
		}
		l.mu.Unlock()
		if r.Err != nil {
			select { // a publisher waits before it tries again
			case <-l.stop:
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.running.Wait()
}

// count is the number of acknowledged and refused publishes.
func (l *load) count() (acked, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range l.acked {
		acked += len(list)
	}
	return acked, l.refused
}

// more waits until n more messages have been acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	from, _ := l.count()
	checkFor(t, patience, func() error {
		if now, _ := l.count(); now < from+n {
			return fmt.Errorf("%d acknowledged, want %d", now-from, n)
		}
		return nil
	})
}

// moreRefused waits until 20 more publishes have been refused.
func (l *load) moreRefused(t *testing.T) {
	t.Helper()
	_, from := l.count()
	checkFor(t, patience, func() error {
		if _, now := l.count(); now < from+20 {
			return fmt.Errorf("%d publishes are refused, want 20", now-from)
		}
		return nil
	})
}

// endQuick ends the load and checks that no answer took a second and no reader missed
// anything.
func (l *load) endQuick(t *testing.T, readers []*reader) {
	t.Helper()
	l.end()
	l.wantQuick(t)
	l.checkAll(t, readers)
	wantNotMoved(t, readers)
}

// wantQuick checks that no answer took longer than the timeout of a hasty node.
func (l *load) wantQuick(t *testing.T) {
	t.Helper()
	if l.slowest > hasty(Options{}).Timeout+lateness {
		t.Errorf("an answer took %v", l.slowest)
	}
}

// checkAll waits until every reader has every acknowledged message of its channel.
func (l *load) checkAll(t *testing.T, readers []*reader) {
	t.Helper()
	for _, r := range readers {
		checkFor(t, patience, func() error { return r.has(l.acked[r.name]) })
	}
}
