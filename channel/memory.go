package channel

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// broadcastQueue bounds the broadcasts that wait for the one under way.
	broadcastQueue = 64
	// broadcastPause is how long a broadcast lets the sinks work when one is busy.
	broadcastPause = time.Millisecond
	// stopPoll is how often Stop looks whether the last call has ended. It and a
	// broadcast are the only places of the package that wait.
	stopPoll = time.Millisecond
)

// Memory is the Engine of a single process: everything but broadcast happens, and
// is answered, inside the call.
type Memory struct {
	hub   *Hub
	queue chan broadcast
	stop  chan struct{}

	mu      sync.Mutex     // a leaf: nothing is queued once stopped is set
	running sync.WaitGroup // the worker
	stopped atomic.Bool
	calls   [callCounters]callCounter
}

// callCounters is how many counters share the count of the calls under way. With
// one, every publish of every loop would write to the same cache line.
const callCounters = 16

type callCounter struct {
	n atomic.Int64
	_ [56]byte
}

type broadcast struct {
	content string
	done    Done
}

var _ Engine = (*Memory)(nil)

// NewMemory starts the engine with its broadcast worker. Stop ends it.
func NewMemory(h *Hub) *Memory {
	m := &Memory{hub: h, queue: make(chan broadcast, broadcastQueue), stop: make(chan struct{})}
	m.running.Go(m.broadcastLoop)
	return m
}

// begin admits a call and returns its counter, which the call has to decrement; or it
// answers ErrStopped and returns nil. No lock is held during the call, so that a Done may
// call the engine again.
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

// Publish stores the message and queues it to every subscriber. It is of Engine.
func (m *Memory) Publish(name []byte, content string, done Done) {
	call := m.begin(name, done)
	if call == nil {
		return
	}
	defer call.end()
	seq, err := m.hub.Publish(name, content)
	done.Done(Result{Seq: seq, Err: err})
}

// Broadcast is walked off the caller's goroutine: with a million channels it takes
// a second.
func (m *Memory) Broadcast(content string, done Done) {
	if err := m.enqueue(broadcast{content, done}); err != nil {
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

// Sign creates the channel when needed and returns its token. It is of Engine.
func (m *Memory) Sign(name []byte, wait time.Duration, done Done) {
	call := m.begin(name, done)
	if call == nil {
		return
	}
	defer call.end()
	s, err := m.hub.Sign(name, wait)
	done.Done(Result{Seq: s.Seq, Token: s.Token, Err: err})
}

// Clear drops the stored messages. It is of Engine.
func (m *Memory) Clear(name []byte, done Done) {
	call := m.begin(name, done)
	if call == nil {
		return
	}
	defer call.end()
	next, err := m.hub.Clear(name)
	done.Done(Result{Seq: next, Err: err})
}

// Close ends the subscribers and frees the channel. It is of Engine.
func (m *Memory) Close(name []byte, done Done) {
	call := m.begin(name, done)
	if call == nil {
		return
	}
	defer call.end()
	next, err := m.hub.Close(name)
	done.Done(Result{Seq: next, Err: err})
}

// Info counts subscribers and channels. It is of Engine.
func (m *Memory) Info(name []byte, done Done) {
	if len(name) == 0 {
		done.Done(Result{Channels: m.hub.Channels(), Subscribers: m.hub.Subscribers()})
		return
	}
	done.Done(Result{Subscribers: m.hub.ChannelSubscribers(name), Alive: m.hub.Alive(name)})
}

// Fetch has nothing to do: the hub has every channel. So has Watch.
func (m *Memory) Fetch(_ *Join, done Done) { done.Done(Result{}) }

// Release has nothing to do: Fetch keeps no place. It is of Engine.
func (m *Memory) Release([]byte) {}

// Watch has nothing to do: presence is here. It is of Engine.
func (m *Memory) Watch(done Done) { done.Done(Result{}) }

// Status is nil: there is nothing to show. It is of Engine.
func (m *Memory) Status() any { return nil }

// Ready is nil: the store is this process. It is of Engine.
func (m *Memory) Ready() error { return nil }

// Stop refuses new calls and waits for those under way. It is of Engine.
func (m *Memory) Stop() {
	m.mu.Lock()
	if m.stopped.CompareAndSwap(false, true) {
		close(m.stop)
	}
	m.mu.Unlock()
	m.running.Wait()
	for i := range m.calls {
		for m.calls[i].n.Load() > 0 { // it has seen that we stop, or is nearly done
			time.Sleep(stopPoll)
		}
	}
}

func (m *Memory) broadcastLoop() {
	for {
		select {
		case b := <-m.queue:
			b.done.Done(Result{Err: m.hub.Broadcast(b.content, m.pause)})
		case <-m.stop:
			m.refuseQueued()
			return
		}
	}
}

// refuseQueued answers what is still queued after the stop.
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
