package reactor

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"icomet/channel"
	"icomet/server/servertest"
)

// TestEachLoopHasOneAnchor checks what anchoring leaves behind: every loop known,
// with a bell of its own, and nothing of the extras.
func TestEachLoopHasOneAnchor(t *testing.T) {
	for _, loops := range []int{1, 2, 5} {
		descriptors := servertest.CountDescriptors()
		s := start(t, loops, nil)
		bells := make(map[int]bool)
		s.onAllLoops(func(l *loop) {
			if l.el.Load() == nil || l.bell < 0 {
				t.Errorf("a loop without an anchor")
			}
			bells[l.bell] = true
		})
		if len(bells) != loops || len(s.byLoop) != loops {
			t.Errorf("%d loops have %d bells, %d are known", loops, len(bells), len(s.byLoop))
		}
		// A loop: epoll, event descriptor, two listeners, both ends of the anchor. Those
		// of extras and of the probes may be closing.
		s.checkFor(func() error {
			if n := servertest.CountDescriptors() - descriptors; n != 6*loops {
				return fmt.Errorf("%d loops have %d descriptors", loops, n)
			}
			return nil
		})
		s.stop()
	}
}

// TestBellBringsARun lets each run ring for the next one, by nothing else.
func TestBellBringsARun(t *testing.T) {
	t.Parallel()
	const rounds = 200 // by ticks alone they would take 20 seconds
	s := start(t, 2, nil)
	for _, l := range s.loops {
		done, n := make(chan struct{}), 0
		var again func()
		again = func() {
			if n++; n == rounds {
				close(done)
				return
			}
			l.mu.Lock()
			l.calls = append(l.calls, again) // without waking anybody
			l.mu.Unlock()
			l.ring()
		}
		started := time.Now()
		l.post(again)
		<-done
		if d := time.Since(started); d > rounds*tickLength/2 {
			t.Errorf("%d runs took %v", rounds, d)
		}
	}
}

// TestWhatIsLeftBringsARun gives a loop an inbox that it cannot take yet and that
// nobody will wake it for: the bell has to ring.
func TestWhatIsLeftBringsARun(t *testing.T) {
	t.Parallel()
	l := bareLoop(t)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	l.bell = pipe[1]
	ch := joinAndLeave(t, l)
	l.Push(ch, channel.Message{Seq: 1})
	l.Push(ch, channel.Message{Seq: 2})
	l.todo, l.inbox = l.inbox[:1:1], l.inbox[1:]
	for i, want := range []int64{1, 0} { // the messages queued after each turn
		_ = l.Run(t.Context())
		if n := l.stats.Queued.Load(); n != want {
			t.Errorf("turn %d: %d messages are queued, want %d", i, n, want)
		}
		n, err := unix.Read(pipe[0], make([]byte, 10))
		if rung := n == 1 && err == nil; rung != (want > 0) {
			t.Errorf("turn %d: rung is %v with %d messages left", i, rung, want)
		}
		l.belled = false
	}
}

// joinAndLeave returns a channel that the loop has no subscriber of.
func joinAndLeave(t *testing.T, l *loop) *channel.Channel {
	t.Helper()
	j, err := l.reactor.hub.Join(&channel.Join{Name: []byte("a"), Since: 1, Sink: l.sink}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.reactor.hub.Leave(j.Channel, l.sink, true)
	return j.Channel
}
