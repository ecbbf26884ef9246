package monitor

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"icomet/server/reactor"
	"icomet/server/wire"
)

// HandleHealth says whether the reactor's goroutines answer. If the loop of the request
// itself hangs, there is no answer at all.
func (m *Monitor) HandleHealth(c *reactor.Conn, r *reactor.Request) {
	if err := m.reactor.Alive(); err != nil {
		c.Refuse(r, 503, err.Error())
		return
	}
	c.Text(r, &wire.Head{Status: 200, Connection: r.Connection}, "ok")
}

// HandleReady says whether a load balancer is to send clients here.
func (m *Monitor) HandleReady(c *reactor.Conn, r *reactor.Request) {
	if why := m.Unready(); len(why) > 0 {
		c.Refuse(r, 503, strings.Join(why, "; "))
		return
	}
	c.Text(r, &wire.Head{Status: 200, Connection: r.Connection}, "ok")
}

// Unready lists why newcomers are, or would be, refused. Concurrency-safe.
func (m *Monitor) Unready() (why []string) {
	if m.reactor.Leaving() {
		why = append(why, "the server is shutting down")
	}
	if m.memory.over.Load() {
		why = append(why, "memory is short (runtime.memory_limit)")
	}
	if n, limit := m.reactor.Connections(); n >= limit {
		why = append(why, fmt.Sprintf("%d connections of %d (limits.connections)", n, limit))
	}
	if n, limit := m.hub.Channels(), m.config().Front.MaxChannels; n >= limit {
		why = append(why, fmt.Sprintf("%d channels of %d (front.max_channels)", n, limit))
	}
	if err := m.engine.Ready(); err != nil {
		why = append(why, err.Error())
	}
	for i, c := range m.reactor.Counters() {
		if c.Full() {
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
