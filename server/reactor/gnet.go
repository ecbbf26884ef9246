package reactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"icomet/server/secure"
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
	h.reactor.shaking.end()
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
		h.readable(c)
	case *anchor:
		c.heard(h.reactor, gc)
	}
	return gnet.None
}

// readable reads what has come from c. Nobody wakes the loop meanwhile: it looks itself
// behind the event, which saves the wake-up and a round of epoll.
func (h *callbacks) readable(c *Conn) {
	l := c.loop
	l.beginEvent()
	h.read(c)
	l.endEvent()
}

func (h *callbacks) read(c *Conn) {
	defer h.reactor.guard(c.loop, c)
	c.read()
}

func (l *loop) beginEvent() {
	l.mu.Lock()
	l.wasArmed, l.armed = l.armed, true
	l.mu.Unlock()
}

// endEvent delivers what has come meanwhile, if that is little, and schedules a run for
// more, or for other work.
func (l *loop) endEvent() {
	l.mu.Lock()
	switch {
	case l.again || len(l.calls) > 0 || len(l.late) > 0 || l.tick:
	case len(l.inbox) == 0:
		l.armed = l.wasArmed
	case l.isLittle():
		l.todo, l.inbox, l.todoAt = l.inbox, l.spareInbox(), 0
		l.armed = l.wasArmed
		l.mu.Unlock()
		l.deliverLittle()
		return
	}
	wake := l.armed && !l.wasArmed
	l.mu.Unlock()
	if wake {
		l.Wake()
	}
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
	r.panicked(e, debug.Stack())
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
	l.reactor.panicked(e, debug.Stack())
	l.out.Reset()
	l.inRun = false
	if l.cur != nil {
		l.doom(l.cur, ReasonPanic)
		l.cur = nil
	}
	l.rearm()
}

// handshakePanicked is guard for what was recovered on the goroutine of a handshake.
func (r *Reactor) handshakePanicked(p *secure.Panic) {
	if r.crashOnPanic {
		panic(fmt.Sprintf("%v\n%s", p, p.Stack))
	}
	r.panicked(p, p.Stack)
}

// panicked counts a panic and writes it to the log. Concurrency-safe.
func (r *Reactor) panicked(e any, stack []byte) {
	r.panics.Add(1)
	r.log.Error("panic recovered", "panic", fmt.Sprint(e), "stack", string(stack))
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

// anchor is the context of a connection of our own on an event loop. It shows us
// the loop, which gnet does not list, before any client has come to it; a byte
// written to bell, its other end, is an I/O event there.
type anchor struct{ bell int }

// anchorLoops puts one anchor on each event loop. It runs on the ticking goroutine,
// once the engine is up.
func (r *Reactor) anchorLoops() error {
	for range 4 * len(r.loops) {
		if err := r.addAnchor(); err != nil {
			return fmt.Errorf("anchoring the event loops: %w", err)
		}
		if int(r.anchored.Load()) == len(r.loops) {
			return nil
		}
	}
	return errors.New("anchoring the event loops: gnet did not show all of them")
}

func (r *Reactor) addAnchor() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	f := os.NewFile(uintptr(fds[0]), "anchor")
	nc, err := net.FileConn(f)
	_ = f.Close() // FileConn has its own copy
	if err != nil {
		_ = unix.Close(fds[1])
		return err
	}
	ctx := gnet.NewContext(context.Background(), &anchor{bell: fds[1]})
	opened, err := r.gnet.Register(gnet.NewNetConnContext(ctx, nc))
	if err != nil {
		_ = nc.Close()
		_ = unix.Close(fds[1])
		return err
	}
	return (<-opened).Err
}

// open makes the anchor its loop's, or closes it when the loop has one.
func (a *anchor) open(r *Reactor, gc gnet.Conn) gnet.Action {
	l := r.loopOf(gc.EventLoop())
	if l.bell >= 0 {
		return gnet.Close
	}
	l.bell = a.bell
	r.anchored.Add(1)
	return gnet.None
}

// heard is the loop's own byte, which came with other I/O events: the next turn. A
// task of gnet's for it would cost three objects for each slice of a walk.
func (a *anchor) heard(r *Reactor, gc gnet.Conn) {
	_, _ = gc.Discard(-1)
	l := r.loopOf(gc.EventLoop())
	l.belled = false
	l.turn(false)
}

func (a *anchor) closed(r *Reactor, gc gnet.Conn) {
	if l := r.loopOf(gc.EventLoop()); l.bell == a.bell {
		l.bell = -1
	}
	_ = unix.Close(a.bell)
}

// loopOf returns our side of an event loop; at first sight it gets the next one.
// Concurrency-safe.
func (r *Reactor) loopOf(el gnet.EventLoop) *loop {
	r.byLoopMu.RLock()
	l := r.byLoop[el]
	r.byLoopMu.RUnlock()
	if l != nil {
		return l
	}
	r.byLoopMu.Lock()
	defer r.byLoopMu.Unlock()
	if l := r.byLoop[el]; l != nil {
		return l
	}
	l = r.loops[len(r.byLoop)]
	r.byLoop[el] = l
	here := el // the parameter itself would then be on the heap in every call
	l.el.Store(&here)
	l.Wake() // whoever armed it before had no event loop to wake
	return l
}
