package channel_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"icomet/channel"
	"icomet/channel/enginetest"
)

func TestMemoryEngine(t *testing.T) {
	enginetest.Run(t, func(t *testing.T, l channel.Limits) (channel.Engine, *channel.Hub) {
		h := channel.NewHub(l)
		return channel.NewMemory(h), h
	})
}

// stuckSink is busy until it is released.
type stuckSink struct{ loose atomic.Bool }

func (s *stuckSink) Push(*channel.Channel, channel.Message) bool { return false }
func (s *stuckSink) Wake()                                       {}
func (s *stuckSink) Full() bool                                  { return false }
func (s *stuckSink) HalfFull() bool                              { return false }
func (s *stuckSink) Busy() bool                                  { return !s.loose.Load() }

// results is a Done that queues the error of each answer.
type results chan error

func (r results) Done(result channel.Result) { r <- result.Err }

func newStuck(t *testing.T) (*channel.Memory, *stuckSink) {
	h := channel.NewHub(channel.Limits{MaxChannels: 1, MaxSubscribers: 1, BufferSize: 1, Timeout: 1e9})
	s := new(stuckSink)
	h.AddSink(s)
	if _, err := h.Join(&channel.Join{Name: []byte("a")}, nil); err != nil {
		t.Fatal(err)
	}
	return channel.NewMemory(h), s
}

// In a synctest bubble time is not real, and a goroutine that does not end fails the
// test.

// TestMemoryBroadcastWaits: a broadcast continues when the sink is no longer busy; other
// calls do not wait for it.
func TestMemoryBroadcastWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, sink := newStuck(t)
		done := make(results, 1)
		m.Broadcast("x", "", done)
		synctest.Wait()
		if len(done) != 0 {
			t.Error("answered while the sink is busy")
		}
		other := make(results, 1)
		m.Publish(&channel.Publication{Name: []byte("a"), Content: "x"}, other)
		if err := <-other; err != nil {
			t.Errorf("a publish meanwhile: %v", err)
		}
		sink.loose.Store(true)
		if err := <-done; err != nil {
			t.Error(err)
		}
		m.Stop()
	})
}

// TestMemoryStopEndsBroadcasts: the broadcast in progress and the queued ones are
// answered with ErrStopped, those that do not fit into the queue with ErrOverloaded.
func TestMemoryStopEndsBroadcasts(t *testing.T) {
	const queue, over = 64, 3
	synctest.Test(t, func(t *testing.T) {
		m, _ := newStuck(t)
		done := make(results, 1+queue+over+10)
		m.Broadcast("under way", "", done)
		synctest.Wait()
		for range queue + over {
			m.Broadcast("x", "", done)
		}
		if len(done) != over {
			t.Errorf("%d of %d answered at once", len(done), over)
		}
		m.Stop()
		count := make(map[error]int)
		for range len(done) {
			count[<-done]++
		}
		if count[channel.ErrStopped] != 1+queue || count[channel.ErrOverloaded] != over {
			t.Errorf("answers: %v", count)
		}
	})
}

// TestMemoryStopWaits: Stop does not return before the call in progress is answered.
func TestMemoryStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newStuck(t)
		entered, goOn := make(chan struct{}), make(chan struct{})
		go m.Publish(&channel.Publication{Name: []byte("a"), Content: "x"}, doneFunc(func(channel.Result) {
			close(entered)
			<-goOn
		}))
		<-entered
		stopped := make(chan struct{})
		go func() {
			m.Stop()
			close(stopped)
		}()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("Stop returned during a call")
		default:
		}
		refused := make(results, 1)
		m.Publish(&channel.Publication{Name: []byte("a"), Content: "x"}, refused)
		if err := <-refused; !errors.Is(err, channel.ErrStopped) {
			t.Errorf("a call after Stop began: %v", err)
		}
		close(goOn)
		<-stopped
	})
}

type doneFunc func(channel.Result)

func (f doneFunc) Done(r channel.Result) { f(r) }
