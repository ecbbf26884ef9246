package channel

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// broadcastQueue bounds the broadcasts that wait for the one in progress.
	broadcastQueue = 64
	// broadcastPause is how long a broadcast waits when a sink is busy.
	broadcastPause = time.Millisecond
	// stopPoll is how often Stop checks whether the last call has ended. Stop and the
	// pause of a broadcast are the only waits in this package.
	stopPoll = time.Millisecond
)

// Memory is the Engine of a single process. It carries out and answers every call before
// it returns, except Broadcast.
type Memory struct {
	hub   *Hub
	queue chan broadcast
	stop  chan struct{}

	mu      sync.Mutex     // a leaf; once stopped is set, nothing is queued
	running sync.WaitGroup // the broadcast worker
	stopped atomic.Bool
	calls   [callCounters]callCounter
}

// callCounters is how many counters the calls in progress are spread over. With a single
// counter, every publish of every loop would write to the same cache line.
const callCounters = 16

type callCounter struct {
	n atomic.Int64
	_ [56]byte
}

type broadcast struct {
	content, id string
	done        Done
}

var _ Engine = (*Memory)(nil)

// NewMemory returns an engine for h and starts its broadcast worker, which Stop ends.
func NewMemory(h *Hub) *Memory {
	m := &Memory{hub: h, queue: make(chan broadcast, broadcastQueue), stop: make(chan struct{})}
	m.running.Go(m.broadcastLoop)
	return m
}

// begin counts a call in progress and returns its counter, for end. After Stop it answers
// the call with ErrStopped and returns nil. No lock is held during a call, so a Done may
// call the engine.
func (m *Memory) begin(name []byte, done Done) *callCounter {
	c := &m.calls[0]
	if len(name) > 0 {
		c = &m.calls[name[len(name)-1]%callCounters]
	}
	c.n.Add(1)
	if m.stopped.Load() {
		c.n.Add(-1)
		done.Done(Result{Err: ErrStopped})
		return nil
	}
	return c
}

func (c *callCounter) end() { c.n.Add(-1) }

// Publish is Hub.Publish.
func (m *Memory) Publish(p *Publication, done Done) {
	call := m.begin(p.Name, done)
	if call == nil {
		return
	}
	defer call.end()
	out, err := m.hub.Publish(p)
	done.Done(Result{Seq: out.Seq, Epoch: out.Epoch, Duplicate: out.Duplicate, Err: err})
}

// Broadcast queues the message for the worker, since a million channels take a second.
// ErrOverloaded when 64 broadcasts are waiting.
func (m *Memory) Broadcast(content, id string, done Done) {
	if err := m.enqueue(broadcast{content, id, done}); err != nil {
		done.Done(Result{Err: err})
	}
}

func (m *Memory) enqueue(b broadcast) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped.Load() {
		return ErrStopped
	}
	select {
	case m.queue <- b:
		return nil
	default:
		return ErrOverloaded
	}
}

// Sign is Hub.Sign.
func (m *Memory) Sign(name []byte, wait time.Duration, done Done) {
	call := m.begin(name, done)
	if call == nil {
		return
	}
	defer call.end()
	s, err := m.hub.Sign(name, wait)
	done.Done(Result{Seq: s.Seq, Token: s.Token, Err: err})
}

// Clear is Hub.Clear.
func (m *Memory) Clear(name []byte, done Done) {
	call := m.begin(name, done)
	if call == nil {
		return
	}
	defer call.end()
	next, err := m.hub.Clear(name)
	done.Done(Result{Seq: next, Err: err})
}

// Close is Hub.Close.
func (m *Memory) Close(name []byte, done Done) {
	call := m.begin(name, done)
	if call == nil {
		return
	}
	defer call.end()
	next, err := m.hub.Close(name)
	done.Done(Result{Seq: next, Err: err})
}

// Info reads the hub's counts. It also works after Stop.
func (m *Memory) Info(name []byte, done Done) {
	if len(name) == 0 {
		done.Done(Result{Channels: m.hub.Channels(), Subscribers: m.hub.Subscribers()})
		return
	}
	done.Done(Result{Subscribers: m.hub.ChannelSubscribers(name), Alive: m.hub.Alive(name)})
}

// Fetch does nothing: the hub has every channel.
func (m *Memory) Fetch(_ *Join, done Done) { done.Done(Result{}) }

// Release does nothing: a Fetch reserves no place.
func (m *Memory) Release([]byte) {}

// Watch does nothing: presence starts in the hub.
func (m *Memory) Watch(done Done) { done.Done(Result{}) }

// Status is nil: there is nothing to show.
func (m *Memory) Status() any { return nil }

// Ready is always nil.
func (m *Memory) Ready() error { return nil }

// Stop is as in Engine. It ends the broadcast in progress at its next pause, and answers
// it and the queued ones with ErrStopped.
func (m *Memory) Stop() {
	m.mu.Lock()
	if m.stopped.CompareAndSwap(false, true) {
		close(m.stop)
	}
	m.mu.Unlock()
	m.running.Wait()
	for i := range m.calls {
		for m.calls[i].n.Load() > 0 { // it is about to see stopped, or nearly done
			time.Sleep(stopPoll)
		}
	}
}

func (m *Memory) broadcastLoop() {
	for {
		select {
		case b := <-m.queue:
			b.done.Done(Result{Err: m.hub.Broadcast(b.content, b.id, m.pause)})
		case <-m.stop:
			m.refuseQueued()
			return
		}
	}
}

// refuseQueued answers what is still in the queue after Stop.
func (m *Memory) refuseQueued() {
	for {
		select {
		case b := <-m.queue:
			b.done.Done(Result{Err: ErrStopped})
		default:
			return
		}
	}
}

func (m *Memory) pause() bool {
	select {
	case <-m.stop:
		return false
	case <-time.After(broadcastPause):
		return true
	}
}
