package redis

import (
	"sync/atomic"
	"time"

	"icomet/channel"
)

const (
	// watchGrace is how long presence stays subscribed to without a watcher: from a
	// Watch to the WatchPresence that follows it.
	watchGrace = 10 * time.Second
	// repeatTick is how often it is looked whose turn the repeat is.
	repeatTick = 100 * time.Millisecond
)

// watch asks a group to subscribe to the presence of its partitions, or (off) to end
// that. shared is nil when nobody waits.
type watch struct {
	off    bool
	shared *watching
}

// watching waits for all groups.
type watching struct {
	done func(error)
	left atomic.Int32
	err  atomic.Pointer[error]
}

func (w *watch) finish(err error) {
	s := w.shared
	if s == nil {
		return
	}
	if err != nil {
		s.err.Store(&err)
	}
	if s.left.Add(-1) > 0 {
		return
	}
	if failed := s.err.Load(); failed != nil {
		err = *failed
	}
	s.done(err)
}

func (g *group) addWatch(w *watch) {
	g.mu.Lock()
	dead := g.closed || !g.live.Load()
	if !dead {
		g.watches = append(g.watches, w)
	}
	g.mu.Unlock()
	if dead {
		w.finish(channel.ErrUnavailable) // begin subscribes when it is back
		return
	}
	g.poke()
}

// Watch is done when all presence is subscribed to. To subscribe again is harmless.
func (e *Engine) Watch(done channel.Done) {
	if !e.begin(done) {
		return
	}
	e.watchedAt.Store(int64(time.Since(e.started)))
	e.watching.Store(true)
	e.watchAll(&watching{done: func(err error) { e.finish(done, channel.Result{Err: err}) }}, false)
}

func (e *Engine) watchAll(s *watching, off bool) {
	e.groupsMu.Lock()
	var list []*group
	for _, g := range e.groups {
		list = append(list, g)
	}
	e.groupsMu.Unlock()
	if s != nil {
		s.left.Store(int32(len(list)))
	}
	for _, g := range list {
		g.addWatch(&watch{off: off, shared: s})
	}
}

// catchUp returns when the pub/sub connections have brought what was published before:
// it comes ahead of the answer to whatever is asked on them. It waits at most for Timeout.
func (e *Engine) catchUp() {
	done := make(chan struct{})
	e.watchAll(&watching{done: func(error) { close(done) }}, true)
	select {
	case <-done:
	case <-time.After(e.opts.Timeout):
	}
}

// announce hands on one presence message: 1 or 0, and the name.
func (e *Engine) announce(text string) {
	if len(text) < 2 {
		return
	}
	if text[0] == '1' {
		e.hub.Announce(channel.Online, text[1:])
	} else {
		e.hub.Announce(channel.Offline, text[1:])
	}
}

// repeatLoop tells this node's watchers which channels are there, each once in a
// Timeout: partition i's turn is at i/256 of it. Without watchers it asks nothing.
func (e *Engine) repeatLoop() {
	tick := time.NewTicker(repeatTick)
	defer tick.Stop()
	next := 0
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		period := e.hub.Limits().Timeout.Milliseconds()
		target := int(time.Since(e.started).Milliseconds() % period * partitions / period)
		watched := e.hub.Watched()
		if !watched {
			e.endWatch()
		}
		for ; next != target && !e.stopping(); next = (next + 1) % partitions {
			if watched {
				e.repeat(e.parts[next])
			}
		}
	}
}

func (e *Engine) stopping() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// endWatch ends the subscription to presence when no watcher is left.
func (e *Engine) endWatch() {
	if e.watching.Load() && time.Since(e.started)-time.Duration(e.watchedAt.Load()) > watchGrace {
		e.watching.Store(false)
		e.watchAll(nil, true)
	}
}

func (e *Engine) repeat(p *partition) {
	names, err := e.names(p)
	if err != nil {
		return // it comes again in a Timeout
	}
	for _, name := range names {
		for e.hub.WatchersBusy() && !e.stopping() {
			select {
			case <-e.stop:
			case <-time.After(broadcastPause):
			}
		}
		e.hub.Announce(channel.Online, name)
	}
}
