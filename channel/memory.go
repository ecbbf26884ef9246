package channel

import (
	"sync"
	"time"
)

const (
	// broadcastQueue bounds the broadcasts that wait for the one under way.
	broadcastQueue = 64
	// broadcastPause is how long a broadcast lets the sinks work when one is half
	// full. It is the only place of the package that waits.
	broadcastPause = time.Millisecond
)

// Memory is the Engine of a single process: everything but broadcast happens, and
// is answered, inside the call.
type Memory struct {
	hub   *Hub
	queue chan broadcast
	stop  chan struct{}

	mu      sync.RWMutex   // a leaf: nothing begins, nothing is queued once stopped is set
	running sync.WaitGroup // the calls under way and the worker
	stopped bool
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

// begin lets a call in, or answers it with ErrStopped. Let in, it owes running.Done.
// The lock is not held during the call, so that a Done may call the engine again.
func (m *Memory) begin(done Done) bool {
	m.mu.RLock()
	in := !m.stopped
	if in {
		m.running.Add(1)
	}
	m.mu.RUnlock()
	if !in {
		done.Done(Result{Err: ErrStopped})
	}
	return in
}

func (m *Memory) Publish(name []byte, content string, done Done) {
	if !m.begin(done) {
		return
	}
	defer m.running.Done()
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
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.stopped {
		return ErrStopped
	}
	select {
	case m.queue <- b:
		return nil
	default:
		return ErrOverloaded
	}
}

func (m *Memory) Sign(name []byte, wait time.Duration, done Done) {
	if !m.begin(done) {
		return
	}
	defer m.running.Done()
	s, err := m.hub.Sign(name, wait)
	done.Done(Result{Seq: s.Seq, Token: s.Token, Err: err})
}

func (m *Memory) Clear(name []byte, done Done) {
	if !m.begin(done) {
		return
	}
	defer m.running.Done()
	next, err := m.hub.Clear(name)
	done.Done(Result{Seq: next, Err: err})
}

func (m *Memory) Close(name []byte, done Done) {
	if !m.begin(done) {
		return
	}
	defer m.running.Done()
	next, err := m.hub.Close(name)
	done.Done(Result{Seq: next, Err: err})
}

func (m *Memory) Info(name []byte, done Done) {
	if len(name) == 0 {
		done.Done(Result{Channels: m.hub.Channels(), Subscribers: m.hub.Subscribers()})
		return
	}
	done.Done(Result{Subscribers: m.hub.ChannelSubscribers(name), Alive: m.hub.Alive(name)})
}

// Fetch has nothing to do: the hub has every channel. So has Watch.
func (m *Memory) Fetch(_ *Join, done Done) { done.Done(Result{}) }
func (m *Memory) Release([]byte)           {}
func (m *Memory) Watch(done Done)          { done.Done(Result{}) }
func (m *Memory) Status() any              { return nil }

func (m *Memory) Stop() {
	m.mu.Lock()
	if !m.stopped {
		m.stopped = true
		close(m.stop)
	}
	m.mu.Unlock()
	m.running.Wait()
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
