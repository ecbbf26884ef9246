package server

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// loopPatience is how long a loop may take to answer and still be called alive.
	loopPatience = time.Second
	// tickPatience is the same for the ticking goroutine, which sleeps longer when
	// nothing happens.
	tickPatience = 2 * time.Second / tickLength
)

// handleHealth says whether every loop answers: none has let a tick wait for too long.
// The probe itself makes sure that there is one. A loop that hangs in the request does
// not answer either.
func (l *loop) handleHealth(c *conn, r *request) {
	if silent := time.Duration(l.srv.ticks() - l.srv.feed.tickedAt.Load()); silent > tickPatience {
		l.refuse(c, r, 503, fmt.Sprintf("the ticking goroutine has not run for %v", silent*tickLength))
		return
	}
	for i, other := range l.srv.loops {
		if silent := other.probe(); silent > loopPatience {
			l.refuse(c, r, 503, fmt.Sprintf("event loop %d has not answered for %v", i, silent.Round(time.Millisecond)))
			return
		}
	}
	l.answerOK(c, r)
}

// probe gives the loop a tick unless one waits, and says how long that has waited.
// Concurrency-safe.
func (l *loop) probe() (silent time.Duration) {
	l.mu.Lock()
	if l.tick {
		defer l.mu.Unlock()
		return time.Since(l.tickedAt)
	}
	wake := !l.armed
	l.tick, l.tickedAt, l.armed = true, time.Now(), true
	l.mu.Unlock()
	if wake {
		l.Wake()
	}
	return 0
}

// handleReady says whether a load balancer is to send clients here.
func (l *loop) handleReady(c *conn, r *request) {
	if why := l.srv.unready(); len(why) > 0 {
		l.refuse(c, r, 503, strings.Join(why, "; "))
		return
	}
	l.answerOK(c, r)
}

func (l *loop) answerOK(c *conn, r *request) {
	h := head{status: 200, conn: r.conn}
	l.out.B = c.appendText(l.out.B, &h, "ok")
}

// unready lists why newcomers are, or would be, refused.
func (s *Server) unready() (why []string) {
	if s.draining.Load() {
		why = append(why, "the server is shutting down")
	}
	if s.memory.over.Load() {
		why = append(why, "memory is short (runtime.memory_limit)")
	}
	if n, limit := s.access.conns.Load(), s.access.capacity.Load(); n >= limit {
		why = append(why, fmt.Sprintf("%d connections of %d (limits.connections)", n, limit))
	}
	if n, limit := s.hub.Channels(), s.settings.Load().config.Front.MaxChannels; n >= limit {
		why = append(why, fmt.Sprintf("%d channels of %d (front.max_channels)", n, limit))
	}
	if err := s.engine.Ready(); err != nil {
		why = append(why, err.Error())
	}
	for i, l := range s.loops {
		if l.Full() {
			why = append(why, fmt.Sprintf("the delivery queue of event loop %d is full", i))
		}
	}
	return why
}

// cpuSeconds is the processor time that the process has had.
func cpuSeconds() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
