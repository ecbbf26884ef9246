package reactor

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// callbacks is what gnet calls. OnTick has a goroutine of its own, the others run
// on the connection's event loop.
type callbacks struct {
	gnet.BuiltinEventEngine
	reactor *Reactor
}

func (h *callbacks) OnBoot(eng gnet.Engine) gnet.Action {
	h.reactor.boot(eng)
	return gnet.None
}

func (h *callbacks) OnShutdown(gnet.Engine) {
	h.reactor.accepts.end()
	h.reactor.writable.end()
}

func (h *callbacks) OnOpen(gc gnet.Conn) (out []byte, action gnet.Action) {
	defer h.reactor.guard(nil, nil)
	action = gnet.Close // after a panic
	if a, ok := gc.Context().(*anchor); ok {
		action = a.open(h.reactor, gc)
	} else {
		action = h.reactor.opened(gc)
	}
	return nil, action
}

func (h *callbacks) OnTraffic(gc gnet.Conn) gnet.Action {
	switch c := gc.Context().(type) {
	case *Conn:
		defer h.reactor.guard(c.loop, c)
		c.read()
	case *anchor:
		c.heard(h.reactor, gc)
	}
	return gnet.None
}

func (h *callbacks) OnClose(gc gnet.Conn, _ error) gnet.Action {
	switch c := gc.Context().(type) {
	case *Conn:
		defer h.reactor.guard(nil, nil)
		c.closed()
	case *anchor:
		c.closed(h.reactor, gc)
	}
	return gnet.None
}

func (h *callbacks) OnTick() (delay time.Duration, action gnet.Action) {
	defer h.reactor.guard(nil, nil)
	delay = tickLength // after a panic too
	action = h.reactor.tick()
	return h.reactor.tickDelay(), action
}

// guard recovers a panic in a callback: it costs the connection that was worked
// on, not the others. It is deferred.
func (r *Reactor) guard(l *loop, c *Conn) {
	if r.crashOnPanic {
		return
	}
	e := recover()
	if e == nil {
		return
	}
	r.panicked(e)
	if l != nil {
		l.out.Reset()
	}
	if c != nil {
		c.loop.doom(c, ReasonPanic)
	}
}

// guardRun is guard for a turn of the loop: what it was working on is dropped, the
// rest goes on in the next turn.
func (l *loop) guardRun() {
	if l.reactor.crashOnPanic {
		return
	}
	e := recover()
	if e == nil {
		return
	}
	l.reactor.panicked(e)
	l.out.Reset()
	l.inRun = false
	if l.cur != nil {
		l.doom(l.cur, ReasonPanic)
		l.cur = nil
	}
	l.rearm()
}

func (r *Reactor) panicked(e any) {
	r.panics.Add(1)
	r.log.Error("panic recovered", "panic", fmt.Sprint(e), "stack", string(debug.Stack()))
}

// gnetLogger gives gnet's words to slog. What gnet calls information is detail here.
type gnetLogger struct {
	log     *slog.Logger
	accepts *acceptGuard
}

func (g gnetLogger) Debugf(format string, args ...any) { g.log.Debug(gnetText(format, args)) }
func (g gnetLogger) Infof(format string, args ...any)  { g.log.Debug(gnetText(format, args)) }
func (g gnetLogger) Warnf(format string, args ...any)  { g.log.Warn(gnetText(format, args)) }
func (g gnetLogger) Fatalf(format string, args ...any) { g.log.Error(gnetText(format, args)) }

func (g gnetLogger) Errorf(format string, args ...any) {
	if format == acceptFailed && len(args) == 1 {
		g.accepts.failed(args[0])
		return
	}
	g.log.Error(gnetText(format, args))
}

func gnetText(format string, args []any) string { return "gnet: " + fmt.Sprintf(format, args...) }
