package redis

import "strings"

// When a master dies, messages that no replica had are lost, and their seqs are given out
// again, for other messages. Copies that have the old ones have parted from Redis. The
// marks show it. Whoever finds it gives the channel a new epoch (scripts/join.lua), because
// a client that is away at that moment cannot know which of the two messages it has had.

// firstWanted is the first seq that a copy asks of the history. It includes the message
// before the next, because its mark is compared.
func (m *mirror) firstWanted() int64 {
	if m.parted {
		return 1
	}
	return max(1, m.next-1)
}

// partedFrom reports that the copy certainly has messages that Redis does not have. It
// cannot tell when the message before the copy's next is trimmed or cleared.
func (m *mirror) partedFrom(s *state) bool {
	if m.ch == nil || s.epoch != m.epoch {
		return false
	}
	if s.next <= m.next {
		return s.next < m.next || s.mark != m.mark || s.asked.ended && !s.ended
	}
	if s.asked.ended {
		return true
	}
	if i := m.next - 1 - s.first(); i >= 0 {
		return s.marks[i] != m.mark
	}
	return m.next == 1 && m.mark != noMark
}

// mayHaveParted reports that partedFrom cannot tell, and that another Redis has brought the
// copy up to date before: a fail-over or a restart may have lost messages since.
func (m *mirror) mayHaveParted(s *state) bool {
	if s.epoch != m.epoch || s.next <= m.next || m.next == 1 || m.next > s.first() {
		return false
	}
	now := m.part.group.Load().server.Load()
	return m.server == nil || now == nil || *m.server != *now
}

// runID finds the name of a Redis process in the text of INFO.
func runID(info string) *string {
	_, rest, _ := strings.Cut(info, "run_id:")
	id, _, _ := strings.Cut(rest, "\r")
	return &id
}

// sameLife reports that the copy and Redis have the same numbering, at least up to where
// they have parted.
func (m *mirror) sameLife(s *state) bool { return s.epoch == m.epoch || s.before == m.epoch }

// renamed reports that only the epoch is new: Redis has the copy's last message, and
// everything behind it.
func (m *mirror) renamed(s *state) bool {
	i := m.next - 1 - s.first()
	switch {
	case s.epoch == m.epoch || s.before != m.epoch || s.asked.ended && !s.ended:
		return false
	case s.next == m.next:
		return s.mark == m.mark
	case m.next == 1:
		return s.first() == 1
	}
	return !s.asked.ended && i >= 0 && i < int64(len(s.marks)) && s.marks[i] == m.mark
}

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
