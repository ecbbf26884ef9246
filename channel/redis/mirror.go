package redis

import (
	"sync/atomic"
	"time"

	"icomet/channel"
)

// maxHeld bounds the events that are held while a copy is brought up to date. When there
// are more, they are dropped and the copy is compared again.
const maxHeld = 4096

// mirror keeps one copy up to date. Its partition's lock protects it.
//
// It exists, and this node is subscribed to the channel, from the first Fetch until the
// hub has freed the copy.
type mirror struct {
	part *partition
	name string
	ch   *channel.Channel // nil until the copy is made

	life  int // counts the copies: an answer that was asked for in another life is void
	epoch string
	next  int64  // the seq of the next message
	mark  string // of the message before next
	floor int64  // messages below this seq have been cleared
	ended bool   // nothing more can be published

	server *string // the Redis that has last brought it up to date; see group.server

	parted     bool // it has, or may have, messages that Redis has lost: the whole history is needed
	live       bool // events are applied; otherwise they are held until Redis has answered
	subscribed bool // on the present connection
	held       []event
	heard      int  // events held since it exists
	lost       bool // held was full
	waiting    int  // unanswered Fetches
	granted    int  // places reserved by answered Fetches, until Release

	counting atomic.Bool // it is in a group's list of counts
}

// wanted is the number of subscribers that Redis should have for this node.
func (m *mirror) wanted(h *channel.Hub) int {
	n := m.granted
	if m.ch != nil {
		subs, _ := h.CountOf(m.ch)
		n += subs
	}
	return n
}

// receive handles an event from pub/sub. It waits while a loop with subscribers of the
// channel is full. Redis then queues for this node, up to its limit for pub/sub clients,
// and this node refuses publishes (back-pressure).
func (e *Engine) receive(p *partition, name string, ev event) {
	for waits := false; ; {
		if e.received(p, name, ev) {
			if waits {
				e.congested.Add(-1)
			}
			return
		}
		if !waits {
			waits = true
			e.congested.Add(1)
		}
		select {
		case <-e.stop:
			return
		case <-time.After(broadcastPause):
		}
	}
}

// received applies an event, unless a loop with subscribers of the channel is full.
func (e *Engine) received(p *partition, name string, ev event) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mirrors[name]
	if m != nil && m.ch != nil && e.hub.Congested(m.ch) {
		return false
	}
	if m != nil {
		e.applyLocked(m, ev)
	}
	return true
}

// applyOwn applies what a call of this node has done, if it is the next event. Otherwise
// pub/sub will bring it in order.
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
		if ev.kind != kindClosed && ev.kind != kindFreed {
			m.hold(ev)
			e.refresh(m, whyEpoch)
		}
	case ev.kind == kindRenamed: // by this node
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
			e.refresh(m, whyFreed) // somebody has subscribed just now
			return
		}
		e.hub.Uncopy(m.ch, channel.Message{Seq: ev.seq, Type: channel.Closed})
		e.dropLocked(m)
	case ev.seq > m.next, ev.stored() && (ev.before != m.mark || m.ended):
		m.hold(ev)
		e.refresh(m, whyGap)
	case ev.kind == kindCleared:
		m.floor = ev.seq
		e.hub.DropBelow(m.ch, ev.seq)
	default:
		if !e.feedLocked(m, &ev) {
			e.dropLocked(m) // the hub has freed the copy
		}
	}
}

// feedLocked gives the hub the next message of a copy, or its end. It reports whether the
// copy is still there.
func (e *Engine) feedLocked(m *mirror, ev *event) bool {
	if ev.kind == kindEnded {
		return m.ended || e.endLocked(m)
	}
	there := e.hub.Feed(m.ch, ev.message(e.hub.Slot()+slack))
	m.next, m.mark, m.ended = m.next+1, ev.mark, ev.kind == kindFinal
	return there
}

// endLocked ends the channel of a copy, and with it the copy's subscribers.
func (e *Engine) endLocked(m *mirror) bool {
	m.ended = true
	return e.hub.Feed(m.ch, channel.Message{Seq: m.next, Type: channel.Ended})
}

func (m *mirror) hold(ev event) {
	if len(m.held) == maxHeld {
		m.held, m.lost = nil, true
	}
	if ev.heard == 0 {
		m.heard++
		ev.heard = m.heard
	}
	m.held = append(m.held, ev)
}

// refresh has the copy compared with Redis. Until then events are held.
func (e *Engine) refresh(m *mirror, reason why) {
	e.stats.refreshes[reason].Add(1)
	m.live = false
	m.part.group.Load().addStale(m)
}

// dropLocked ends a mirror that has no copy any more, or never had one. If a Fetch waits
// or a place is reserved, it is loaded again instead.
func (e *Engine) dropLocked(m *mirror) {
	m.forget()
	if m.waiting > 0 || m.granted > 0 {
		e.refresh(m, whyAgain)
		return
	}
	delete(m.part.mirrors, m.name)
	if m.subscribed {
		m.part.group.Load().addUnsubscribe(m.part, m.name)
	}
}

// forget resets the mirror to the state without a copy.
func (m *mirror) forget() {
	m.ch, m.epoch, m.next, m.mark, m.floor, m.ended, m.parted = nil, "", 0, "", 0, false, false
	m.life++
}

// state is join.lua's answer about a channel.
type state struct {
	epoch   string
	next    int64
	floor   int64
	total   int64 // subscribers on all nodes
	made    int64 // 1: the call has created it
	token   string
	mark    string // of the last message
	ended   bool
	before  string // the epoch that the channel had before it got this one; "": none
	history []channel.Message
	marks   []string // of the messages in history
	part    bool     // history begins at the seq that the copy asked for
	asked   known    // the copy when it asked
}

// older reports that the answer is from a moment before the copy's present state, in the
// same numbering: what it says that the copy lacks is nothing.
func (s *state) older(m *mirror) bool {
	if m.ch == nil || s.epoch != m.epoch {
		return false
	}
	return s.next < m.next && s.next >= s.asked.next || m.live && s.next == m.next && s.mark == m.mark
}

func (s *state) crowded(limit int) bool { return s.total*2 > int64(limit) }

// first is the seq of the oldest message that Redis has.
func (s *state) first() int64 {
	if len(s.history) > 0 {
		return s.history[0].Seq
	}
	return s.next
}

// checkThere forgets a copy that the hub has freed, so that all of it is loaded again.
func (m *mirror) checkThere(h *channel.Hub) {
	if m.ch == nil {
		return
	}
	if _, there := h.CountOf(m.ch); !there {
		m.forget()
		m.live = false
	}
}

// bringLocked brings the copy up to date with Redis's answer, and then applies the held
// events.
func (e *Engine) bringLocked(m *mirror, s *state) {
	crowded := s.crowded(e.hub.ClassOf([]byte(m.name)).MaxSubscribers)
	e.continueLocked(m)
	switch {
	case s.older(m):
		// Events and publishes of this node have brought the copy further since it asked.
		e.hub.Learn(m.ch, s.token, crowded)
		if s.floor > m.floor {
			m.floor = s.floor
			e.hub.DropBelow(m.ch, s.floor)
		}
		if m.live {
			return
		}
	case m.ch == nil:
		e.installLocked(m, s, crowded)
	case s.part && (m.partedFrom(s) || m.mayHaveParted(s)):
		m.parted = true
		e.refresh(m, whyParted)
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
		if m.mark = s.mark; s.ended && !m.ended {
			e.endLocked(m)
		}
		if m.floor = s.floor; s.floor > 0 {
			e.hub.DropBelow(m.ch, s.floor)
		}
	default:
		e.moveLocked(m, s, crowded)
	}
	held := m.held
	m.held, m.live, m.parted, m.server = nil, true, false, m.part.group.Load().server.Load()
	if m.lost {
		m.lost = false
		e.refresh(m, whyOverflow)
		return
	}
	for _, ev := range held {
		if ev.heard > s.asked.heard { // the answer knows of the others, or of their end
			e.applyLocked(m, ev)
		}
	}
}

// continueLocked applies the held events that continue the copy. What they bring is not
// missing, even if the history has it no more.
func (e *Engine) continueLocked(m *mirror) {
	if m.ch == nil || m.live || m.lost {
		return
	}
	rest := m.held[:0]
	for _, ev := range m.held {
		continues := ev.epoch == m.epoch && ev.seq == m.next && !m.ended &&
			(ev.stored() && ev.before == m.mark || ev.kind == kindEnded)
		if !continues || !e.feedLocked(m, &ev) {
			rest = append(rest, ev)
		}
	}
	clear(m.held[len(rest):])
	m.held = rest
}

func (e *Engine) installLocked(m *mirror, s *state, crowded bool) {
	m.ch = e.hub.Install(m.name, channel.Copy{
		Epoch: wireEpoch(s.epoch), Next: s.next, Token: s.token, Messages: s.history, Crowded: crowded, Ended: s.ended,
	})
	m.epoch, m.next, m.mark, m.floor, m.ended = s.epoch, s.next, s.mark, s.floor, s.ended
}

// moveLocked replaces a copy that cannot be continued: messages that it lacks are gone
// from the history, or Redis has others under their seqs (FLUSHALL, or a fail-over that
// has lost messages), or another node has found that and has given the channel a new
// epoch. The subscribers are told where to go on, and join again.
func (e *Engine) moveLocked(m *mirror, s *state, crowded bool) {
	moved := channel.Message{Seq: s.first(), Type: channel.Moved}
	if m.renamed(s) {
		moved = channel.Renamed(m.next, wireEpoch(s.epoch))
	} else if m.sameLife(s) && moved.Seq <= m.next {
		moved.Seq = e.firstNew(m, s)
	}
	told := e.hub.Uncopy(m.ch, moved)
	if moved.NewEpoch() == 0 {
		e.stats.gaps.Add(1)
		e.stats.gapSubscribers.Add(uint64(told))
	}
	e.installLocked(m, s, crowded)
}
