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
		if seat, ok := w.seatOf(g, w.reading, m.Channel); !ok || m.Seq != w.next[seat] || len(m.Content) > 0 {
			w.fail(&w.counts.Corrupt, 1, "%s: channel %d: unexpected next_seq %d", g.Name, m.Channel, m.Seq)
		}
		w.checkID(g, m)
		return nil
	case protocol.KindClose:
		return errors.New("the channel was closed")
	case protocol.KindJoined:
		return w.joined(w.reading, s)
	case protocol.KindAnswer:
		return nil
	case protocol.KindRefused:
		return fmt.Errorf("%w: %.120q", errRefused, m.Content)
	}
	return w.data(g, s, m)
}

// data checks a data or broadcast message: its content, then its place in the sequence.
func (w *worker) data(g *groupState, s *subscriber, m protocol.Message) error {
	at, channel, number, ok := g.Read(m.Content)
	seat, own := w.seatOf(g, w.reading, m.Channel)
	want := m.Channel
	if m.Kind == protocol.KindBroadcast {
		want = protocol.BroadcastChannel
	}
	w.lastMove = w.readAt
	if !ok || !own || channel != want || number != m.Seq {
		w.fail(&w.counts.Corrupt, 1, "%s: connection on channel %d: wrong: %.120q of channel %d as seq %d",
			g.Name, s.channel, m.Content, m.Channel, m.Seq)
		if !own && g.Each == 1 {
			own, m.Channel = true, s.channel // which else
		}
		if own && m.Seq == w.next[seat] { // it came, though wrong: it is not lost as well
			w.next[seat]++
			w.account(g, s, m.Channel, 1)
		}
		return nil
	}
	before := w.counts.Deliveries
	next, accounted := w.checker.Sequence(seat, w.next[seat], m.Seq)
	if (accounted != 1 || m.Seq != w.next[seat]) && w.failure == "" {
		w.failure = fmt.Sprintf("%s: channel %d: wanted seq %d, got %d", g.Name, m.Channel, w.next[seat], m.Seq)
	}
	w.next[seat] = next
	w.checkID(g, m)
	if w.stage == stageMeasured && w.counts.Deliveries > before {
		tally.Record(w.latency, w.readAt-at)
	}
	if g.Churn {
		return errLeft
	}
	w.account(g, s, m.Channel, accounted)
	return nil
}

// checkID checks the event id of a connection with several channels, if the event has one.
func (w *worker) checkID(g *groupState, m protocol.Message) {
	if m.ID != nil && !w.rightID(g, w.reading, m.ID) {
		w.fail(&w.counts.Corrupt, 1, "%s: channel %d: seq %d has the event id %.120q", g.Name, m.Channel, m.Seq, m.ID)
	}
}

// account notes that a subscriber has n more messages of a channel.
func (w *worker) account(g *groupState, s *subscriber, channel, n uint32) {
	if n == 0 || s.slow || g.Churn {
		return
	}
	index := w.tracked(g, channel)
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
		if s.slow && s.state != subUp || g.Churn && s.state == subIdle { // cut off; left
			continue
		}
		for j := range g.Each {
			channel := g.channelOf(w.number(g, uint32(slot)), j)
			next, ch := w.next[g.seat(uint32(slot), j)], &w.channels[w.tracked(g, channel)]
			if next <= ch.published {
				w.fail(&w.counts.Lost, int(ch.published-next+1), "%s: channel %d: seq %d to %d never came", g.Name, channel, next, ch.published)
			}
		}
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
