package reactor

import "icomet/channel"

// beginBundledReplay puts the backlog of a member on its way.
func (l *loop) beginBundledReplay(m *member, joined *channel.Joined) {
	m.replaying = true
	l.newReplay(&m.subscription, joined)
}

// endBundledReplay ends the replay of a member.
func (l *loop) endBundledReplay(m *member) {
	c := m.conn
	link := l.replays[c.fd]
	if link.sub == &m.subscription {
		if l.replays[c.fd] = link.other; link.other == nil {
			delete(l.replays, c.fd)
			c.clear(flagReplaying)
		}
		link.sub = nil
	} else {
		for link.other.sub != &m.subscription {
			link = link.other
		}
		link.other.sub = nil // it may be in the queue still
		link.other = link.other.other
	}
	m.replaying = false
	l.reactor.hub.EndRead(m.ch)
}

// replayBundled puts out the next piece of a member's backlog and returns its size.
func (l *loop) replayBundled(p *replay) (size int) {
	c, m := p.conn, p.sub.member()
	if c.bundle.out != nil { // what was gathered before comes before
		if c.flushBundle(); p.sub == nil || c.outbound() > 0 {
			return 0
		}
	}
	limit := l.pieceLimit()
	piece := l.reactor.hub.Read(m.ch, m.next, limit, l.scratch.Replay[:0])
	if piece.Lost {
		l.doom(c, ReasonSlowConsumer)
		return 0
	}
	ch := l.label(m)
	out := c.gather()
	n := 0
	for ; n < len(piece.Messages) && (n == 0 || len(out.B) < limit); n++ {
		out.B = room(out.B, &piece.Messages[n])
		out.B = c.form().AppendMessage(out.B, ch, &piece.Messages[n], &l.scratch.Frame)
		m.next = piece.Messages[n].Seq + 1
	}
	ended := piece.End && n == len(piece.Messages)
	l.stats.Replayed.Add(uint64(n))
	c.forget(piece.Messages)
	size = len(out.B)
	if ended {
		l.endBundledReplay(m)
		if p.over.Type != channel.Data {
			c.bundle.refused = c.bundle.refused || p.over.Type == channel.Closed
			c.tellMessages(ch, []channel.Message{p.over})
			c.memberOver(m)
		}
	}
	c.flushBundle()
	return size
}

// passByBundled is the delivery of b to a member whose backlog is on its way: it reads the
// messages from the channel's buffer. What is not stored there is noted.
func (l *loop) passByBundled(b *batch, m *member) {
	p := l.replays[m.conn.fd]
	for p.sub != &m.subscription {
		p = p.other
	}
	switch last := &b.msgs[len(b.msgs)-1]; last.Type {
	case channel.Closed, channel.Ended:
		p.over = *last
	case channel.Final:
		p.over = channel.Message{Seq: last.Seq + 1, Type: channel.Ended}
	case channel.Moved:
		l.endBundledReplay(m)
		if !m.told {
			m.next = last.Seq
			l.deliverBundled(b, m)
			return
		}
		l.rejoinMember(m, last)
	}
}
