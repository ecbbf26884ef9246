package redis

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"icomet/channel"
)

const (
	// watchGrace is how long presence stays subscribed to without a watcher. It covers
	// the time between Watch and the WatchPresence that follows.
	watchGrace = 10 * time.Second
	// repeatTick is how often the repeats are continued.
	repeatTick = 100 * time.Millisecond
)

// watch asks a group to subscribe to the presence of its partitions, or (off) to
// unsubscribe, unless somebody watches again by then. shared is nil when nobody waits.
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
		w.finish(channel.ErrUnavailable) // when the connection is back, begin subscribes
		return
	}
	g.poke()
}

// Watch is as in channel.Engine. Subscribing again does no harm.
func (e *Engine) Watch(done channel.Done) {
	if !e.begin(done) {
		return
	}
	e.watchedAt.Store(int64(time.Since(e.started)))
	e.watching.Store(true)
	var once sync.Once
	answer := func(err error) { once.Do(func() { e.finish(done, channel.Result{Err: err}) }) }
	late := time.AfterFunc(e.opts.Timeout, func() { answer(channel.ErrUnavailable) })
	e.watchAll(&watching{done: func(err error) { late.Stop(); answer(err) }}, false)
}

func (e *Engine) watchAll(s *watching, off bool) {
	list := e.allGroups()
	if s != nil {
		s.left.Store(int32(len(list)))
	}
	for _, g := range list {
		g.addWatch(&watch{off: off, shared: s})
	}
}

// catchUp returns when the pub/sub connections have brought everything published before,
// which comes ahead of the answer to any later command. false: they have
// not, and ctx has ended or a connection has.
func (e *Engine) catchUp(ctx context.Context) bool {
	done := make(chan error, 1)
	e.watchAll(&watching{done: func(err error) { done <- err }}, true)
	select {
	case err := <-done:
		return err == nil
	case <-ctx.Done():
		return false
	}
}

// announce passes one presence message to the hub: 1 or 0, and the name.
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

// repeatLoop announces every existing channel to this node's watchers once per
// Limits.Timeout: partition i's turn is at i/256 of it. Without watchers it does not ask
// Redis.
func (e *Engine) repeatLoop() {
	tick := e.ticker(repeatTick)
	defer tick.Stop()
	next := 0
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		period := e.hub.Limits().Timeout.Milliseconds()
		target := int(time.Since(e.started).Milliseconds() % period * int64(len(e.parts)) / period)
		watched := e.hub.Watched()
		if !watched {
			e.endWatch()
		}
		var due []*partition
		for ; next != target; next = (next + 1) % len(e.parts) {
			due = append(due, e.parts[next])
		}
		if watched && len(due) > 0 {
			e.repeat(due)
		}
	}
}

// endWatch unsubscribes from presence when there is no watcher.
func (e *Engine) endWatch() {
	if e.watching.Load() && time.Since(e.started)-time.Duration(e.watchedAt.Load()) > watchGrace {
		e.watching.Store(false)
		e.watchAll(nil, true)
	}
}

func (e *Engine) repeat(parts []*partition) {
	lists, err := e.names(parts)
	if err != nil {
		return // it is repeated a Timeout later
	}
	for _, name := range slices.Concat(lists...) {
		for e.hub.WatchersBusy() && !ended(e.stop) {
			select {
			case <-e.stop:
			case <-time.After(broadcastPause):
			}
		}
		e.hub.Announce(channel.Online, name)
	}
}
