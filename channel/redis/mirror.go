package redis

import (
	"sync/atomic"
	"time"

	"icomet/channel"
)

// maxHeld bounds the events that a copy keeps while it is being brought up to date;
// with more it starts again from Redis.
const maxHeld = 4096

// mirror keeps one copy up to date. It belongs to its partition's lock.
//
// It exists from the first Fetch until the hub has freed the copy: that long this
// node is subscribed to the channel.
type mirror struct {
	part *partition
	name string
	ch   *channel.Channel // nil until it has been loaded

	epoch string
	next  int64  // seq of the next message to come
	mark  string // of the message before next
	floor int64  // messages below it have been cleared

	parted     bool // it has messages that Redis has lost: the whole history is wanted
	live       bool // what comes can be applied; else it is held until Redis has told the rest
	subscribed bool // to the channel, on the present connection
	held       []event
	lost       bool // held was full
	waiting    int  // Fetches that are not answered
	granted    int  // places kept by answered ones until Release

	counting atomic.Bool // in a group's list of counts
}

// wanted is the number of subscribers that Redis is to know of.
func (m *mirror) wanted(h *channel.Hub) int {
	n := m.granted
	if m.ch != nil {
		subs, _ := h.CountOf(m.ch)
		n += subs
	}
	return n
}

// receive takes an event from pub/sub. While a loop with subscribers of the channel is
// over its limit, it waits: Redis then queues for this node, up to its own limit for
// pub/sub clients, and publishes to this node are refused.
func (e *Engine) receive(p *partition, name string, ev event) {
	for {
		p.mu.Lock()
		m := p.mirrors[name]
		if m == nil {
			p.mu.Unlock()
			return
		}
		if m.ch == nil || !e.hub.Congested(m.ch) {
			e.applyLocked(m, ev)
			p.mu.Unlock()
			e.congested.Store(false)
			return
		}
		p.mu.Unlock()
		e.congested.Store(true)
		select {
		case <-e.stop:
			return
		case <-time.After(broadcastPause):
		}
	}
}

// applyOwn takes what a call of this node has done, if it is the very next thing; else
// pub/sub brings it in its order.
func (e *Engine) applyOwn(p *partition, name string, ev event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mirrors[name]
	if m != nil && m.live && m.epoch == ev.epoch && m.next == ev.seq && (!ev.stored() || m.mark == ev.before) {
		e.applyLocked(m, ev)
	}
}

func (e *Engine) applyLocked(m *mirror, ev event) {
	switch {
	case !m.live:
		m.hold(ev)
	case ev.epoch != m.epoch:
		if ev.stored() || ev.kind == kindCleared {
			m.hold(ev)
			e.refresh(m)
		}
	case ev.seq < m.next:
		if ev.kind == kindCleared {
			m.floor = max(m.floor, ev.seq)
			e.hub.DropBelow(m.ch, ev.seq)
		}
	case ev.kind == kindClosed:
		e.hub.Uncopy(m.ch, channel.Message{Seq: ev.seq, Type: channel.Closed})
		e.dropLocked(m)
	case ev.kind == kindFreed:
		if m.wanted(e.hub) > 0 || m.waiting > 0 {
			e.refresh(m) // somebody has come just now
			return
		}
		e.hub.Uncopy(m.ch, channel.Message{Seq: ev.seq, Type: channel.Closed})
		e.dropLocked(m)
	case ev.seq > m.next, ev.stored() && ev.before != m.mark:
		m.hold(ev)
		e.refresh(m)
	case ev.kind == kindCleared:
		m.floor = ev.seq
		e.hub.DropBelow(m.ch, ev.seq)
	default:
		m.next, m.mark = m.next+1, ev.mark
		if !e.hub.Feed(m.ch, ev.message()) {
			e.dropLocked(m) // the hub has freed it
		}
	}
}

func (m *mirror) hold(ev event) {
	if len(m.held) == maxHeld {
		m.held, m.lost = nil, true
	}
	m.held = append(m.held, ev)
}

// refresh has the copy compared with Redis; until then events are held.
func (e *Engine) refresh(m *mirror) {
	m.live = false
	m.part.group.Load().addStale(m)
}

// dropLocked ends a mirror whose copy has been taken out of the hub, or one that never
// had one. If a Fetch still waits for it, it is loaded again.
func (e *Engine) dropLocked(m *mirror) {
	m.forget()
	if m.waiting > 0 || m.granted > 0 {
		e.refresh(m)
		return
	}
	delete(m.part.mirrors, m.name)
	if m.subscribed {
		m.part.group.Load().addUnsubscribe(m.part, m.name)
	}
}

// forget clears what is known of the copy.
func (m *mirror) forget() {
	m.ch, m.epoch, m.next, m.mark, m.floor, m.parted = nil, "", 0, "", 0, false
}

// state is what join.lua tells of a channel.
type state struct {
	epoch   string
	next    int64
	floor   int64
	total   int64 // subscribers on all nodes
	made    int64 // 1: the call has made it
	token   string
	mark    string // of the last message
	history []channel.Message
	marks   []string // of history
	part    bool     // history begins where the copy has wanted it
	asked   int64    // the copy's next when it was asked
}

func (s *state) crowded(limit int) bool { return s.total*2 > int64(limit) }

// first is the seq of the first message that Redis could still tell.
func (s *state) first() int64 {
	if len(s.history) > 0 {
		return s.history[0].Seq
	}
	return s.next
}

// checkThere forgets a copy that the hub has freed: it is then loaded whole.
func (m *mirror) checkThere(h *channel.Hub) {
	if m.ch == nil {
		return
	}
	if _, there := h.CountOf(m.ch); !there {
		m.forget()
		m.live = false
	}
}

// bringLocked brings the copy up to what Redis has told, and then goes on with what
// was held meanwhile.
func (e *Engine) bringLocked(m *mirror, s *state) {
	crowded := s.crowded(e.hub.Limits().MaxSubscribers)
	switch {
	case m.live && s.epoch == m.epoch && (s.next < m.next || s.next == m.next && s.mark == m.mark),
		s.epoch == m.epoch && s.next < m.next && s.next >= s.asked:
		// A publish of this node may have come in ahead of this answer. If the copy is not
		// live, that was while it was: it is going to be compared anew.
		e.hub.Learn(m.ch, s.token, crowded)
		return
	case m.ch == nil:
		e.installLocked(m, s, crowded)
	case m.partedFrom(s) && s.part:
		m.parted = true
		e.refresh(m)
		return
	case s.epoch == m.epoch && s.next >= m.next && s.first() <= m.next && !m.parted && !m.partedFrom(s):
		e.hub.Learn(m.ch, s.token, crowded)
		for _, msg := range s.history {
			if msg.Seq == m.next {
				m.next++
				e.hub.Feed(m.ch, msg)
				e.stats.fetched.Add(1)
			}
		}
		m.mark = s.mark
		if m.floor = s.floor; s.floor > 0 {
			e.hub.DropBelow(m.ch, s.floor)
		}
	default:
		e.moveLocked(m, s, crowded)
	}
	held := m.held
	m.held, m.live, m.parted = nil, true, false
	if m.lost {
		m.lost = false
		e.refresh(m)
		return
	}
	for _, ev := range held {
		e.applyLocked(m, ev)
	}
}

func (e *Engine) installLocked(m *mirror, s *state, crowded bool) {
	m.ch = e.hub.Install(m.name, channel.Copy{Next: s.next, Token: s.token, Messages: s.history, Crowded: crowded})
	m.epoch, m.next, m.mark, m.floor = s.epoch, s.next, s.mark, s.floor
}

// moveLocked: messages that this node has not got are gone from the history, or Redis
// has others under their seqs (FLUSHALL, a fail-over that has lost what was not yet
// replicated). The subscribers are told where it goes on, and join again.
func (e *Engine) moveLocked(m *mirror, s *state, crowded bool) {
	seq := s.first()
	if s.epoch == m.epoch && seq <= m.next {
		seq = e.firstNew(m, s)
	}
	told := e.hub.Uncopy(m.ch, channel.Message{Seq: seq, Type: channel.Moved})
	e.stats.gaps.Add(1)
	e.stats.gapSubscribers.Add(uint64(told))
	e.installLocked(m, s, crowded)
}
