//go:build linux

package load

import (
	"errors"
	"fmt"

	"icomet/bench/protocol"
	"icomet/bench/tally"
)

// message checks one message of subscriber w.reading.
func (w *worker) message(m protocol.Message) error {
	s := &w.subs[w.reading]
	g := w.groups[s.group]
	switch m.Kind {
	case protocol.KindNoop:
		w.counts.Noops++
		return nil
	case protocol.KindNextSeq:
		// Every subscription names its seq, so this follows a broadcast.
		if m.Seq != s.next || len(m.Content) > 0 {
			w.fail(&w.counts.Corrupt, 1, "%s: channel %d: next_seq %d, wanted %d", g.Name, s.channel, m.Seq, s.next)
		}
		return nil
	case protocol.KindClose:
		return errors.New("the channel was closed")
	case protocol.KindRefused:
		return fmt.Errorf("%w: %.120q", errRefused, m.Content)
	}
	return w.data(g, s, m)
}

// data checks a data or broadcast message: its content, then its place in the sequence.
func (w *worker) data(g *groupState, s *subscriber, m protocol.Message) error {
	at, channel, number, ok := g.Read(m.Content)
	want := s.channel
	if m.Kind == protocol.KindBroadcast {
		want = protocol.BroadcastChannel
	}
	w.lastMove = w.readAt
	if !ok || channel != want || number != m.Seq || m.Channel != s.channel {
		w.fail(&w.counts.Corrupt, 1, "%s: channel %d: wanted seq %d, got %.120q of channel %d as seq %d",
			g.Name, s.channel, s.next, m.Content, m.Channel, m.Seq)
		if m.Seq == s.next { // it came, though wrong: it is not lost as well
			s.next++
			w.account(g, s, 1)
		}
		return nil
	}
	before := w.counts.Deliveries
	next, accounted := w.checker.Sequence(w.reading, s.next, m.Seq)
	if (accounted != 1 || m.Seq != s.next) && w.failure == "" {
		w.failure = fmt.Sprintf("%s: channel %d: wanted seq %d, got %d", g.Name, s.channel, s.next, m.Seq)
	}
	s.next = next
	if w.stage == stageMeasured && w.counts.Deliveries > before {
		tally.Record(w.latency, w.readAt-at)
	}
	if g.Churn {
		return errLeft
	}
	w.account(g, s, accounted)
	return nil
}

// account notes that a subscriber has n more messages of its channel.
func (w *worker) account(g *groupState, s *subscriber, n uint32) {
	if n == 0 || s.slow || g.Churn {
		return
	}
	index := w.tracked(g, s)
	ch := &w.channels[index]
	if ch.remote && !ch.final {
		ch.ahead += n
	} else {
		w.owed -= int64(n)
	}
	for ch.got += n; ch.got >= ch.need; ch.got -= ch.need {
		w.part(g, index)
	}
}

// part notes that all subscribers of one worker have the message in flight on a channel.
func (w *worker) part(g *groupState, index uint32) {
	ch := &w.channels[index]
	if ch.remote {
		w.peers.send(g.home(index, w.Scenario.Procs), peerRecord{channel: index, op: peerPart})
		return
	}
	if ch.done++; ch.done >= ch.parts {
		ch.done = 0
		if p := w.publisherOf(g, index); p != nil {
			p.inFlight--
			w.enqueue(p)
		}
	}
}

// remaining counts, at the end, what never came.
func (w *worker) remaining() {
	for slot := range w.subs {
		s := &w.subs[slot]
		g := w.groups[s.group]
		ch := &w.channels[w.tracked(g, s)]
		cutOff := s.slow && s.state != subUp
		if cutOff || g.Churn && s.state == subIdle || s.next > ch.published {
			continue
		}
		n := int(ch.published - s.next + 1)
		w.fail(&w.counts.Lost, n, "%s: channel %d: seq %d to %d never came", g.Name, s.channel, s.next, ch.published)
	}
	for _, p := range w.pubs {
		if n := p.unanswered(); n > 0 {
			w.fail(&w.counts.PublishFailed, n, "%s: publisher %d: %d requests were never answered", p.group.Name, p.id, n)
		}
	}
	if w.finals > 0 {
		w.fail(&w.counts.Lost, w.finals, "%d channels' publishers did not say how much they sent", w.finals)
	}
}
