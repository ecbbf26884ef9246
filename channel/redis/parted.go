package redis

// When a master dies, messages that no replica had are lost, and their seqs are given out
// again, for other messages. Copies that have the old ones have parted from Redis. The
// marks show it.

// firstWanted is the first seq that a copy asks of the history. It includes the message
// before the next, because its mark is compared.
func (m *mirror) firstWanted() int64 {
	if m.parted {
		return 1
	}
	return max(1, m.next-1)
}

// partedFrom reports that the copy has messages that Redis does not have. It cannot tell
// when the message before the copy's next is trimmed or cleared.
func (m *mirror) partedFrom(s *state) bool {
	if m.ch == nil || s.epoch != m.epoch {
		return false
	}
	if s.next <= m.next {
		return s.next < m.next || s.mark != m.mark || m.ended && !s.ended
	}
	if m.ended {
		return true
	}
	if i := m.next - 1 - s.first(); i >= 0 {
		return s.marks[i] != m.mark
	}
	return m.next == 1 && m.mark != noMark
}

// sameLife reports that the copy and Redis have the same numbering, at least up to where
// they have parted.
func (m *mirror) sameLife(s *state) bool { return s.epoch == m.epoch || s.before == m.epoch }

// firstNew is the seq of the first stored message that the copy does not have, or has
// another message for. Messages older than what the copy stores count as known.
func (e *Engine) firstNew(m *mirror, s *state) int64 {
	_, had, _ := e.hub.Look([]byte(m.name), 1, e.hub.ClassOf([]byte(m.name)).BufferSize, nil)
	for _, msg := range s.history {
		for len(had) > 0 && had[0].Seq < msg.Seq {
			had = had[1:]
		}
		if msg.Seq >= m.next || len(had) > 0 && had[0].Seq == msg.Seq && (had[0].Content != msg.Content || had[0].Type != msg.Type) {
			return msg.Seq
		}
	}
	return s.next
}
