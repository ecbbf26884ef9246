package redis

import (
	"slices"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

// Fetch is as in channel.Engine. It subscribes to the channel, reserves a place among the
// subscribers, and makes the copy or brings it up to date.
func (e *Engine) Fetch(j *channel.Join, done channel.Done) {
	if !e.begin(done) {
		return
	}
	p, name := e.partition(j.Name), string(j.Name)
	p.mu.Lock()
	m := p.mirrors[name]
	if m == nil {
		m = &mirror{part: p, name: name}
		p.mirrors[name] = m
	}
	m.waiting++
	p.mu.Unlock()
	e.queueFetch(&fetch{m: m, auth: j.Auth, known: j.Known, existing: j.Existing, token: string(j.Token), done: done, at: time.Now()})
}

func (e *Engine) queueFetch(f *fetch) {
	for {
		ok, err := f.m.part.group.Load().addFetch(f)
		if err != nil {
			e.endFetch(f, err)
		}
		if ok {
			return
		}
	}
}

// endFetch answers a Fetch with an error.
func (e *Engine) endFetch(f *fetch, err error) {
	f.m.part.mu.Lock()
	open := e.endFetchLocked(f)
	f.m.part.mu.Unlock()
	if open {
		e.finish(f.done, channel.Result{Err: err})
	}
}

// endFetchLocked ends a fetch, which the caller then answers; false: it has ended before.
func (e *Engine) endFetchLocked(f *fetch) bool {
	if f.over {
		return false
	}
	m := f.m
	f.over = true
	m.waiting--
	if f.kept {
		f.kept = false
		e.room.giveBack()
	}
	if m.ch == nil && m.waiting == 0 && m.part.mirrors[m.name] == m {
		e.dropLocked(m)
	}
	return true
}

// setFlying says which fetches are in the round trip.
func (g *group) setFlying(list []*fetch) {
	g.mu.Lock()
	g.flying = list
	g.mu.Unlock()
}

// refuseLate refuses the fetches that have waited for a call's time, in the queue or in
// the round trip. If Redis then counts a late one's subscriber, the count is corrected.
func (g *group) refuseLate() {
	before := time.Now().Add(-g.e.opts.Timeout)
	var late []*fetch
	g.mu.Lock()
	g.fetches = slices.DeleteFunc(g.fetches, func(f *fetch) bool {
		if f.at.After(before) {
			return false
		}
		late = append(late, f)
		return true
	})
	for _, f := range g.flying {
		if !f.at.After(before) {
			late = append(late, f)
		}
	}
	g.mu.Unlock()
	for _, f := range late {
		g.e.endFetch(f, channel.ErrUnavailable)
	}
}

// Release gives back the place that a Fetch has reserved: by now the subscriber is
// counted itself, or has gone.
func (e *Engine) Release(name []byte) {
	p := e.partition(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mirrors[string(name)]
	if m == nil || m.granted == 0 {
		return
	}
	if m.granted--; m.ch == nil && m.waiting == 0 {
		e.dropLocked(m)
		return
	}
	p.group.Load().addCount(m)
}

// finish handles the answer to a step. An error: the answer cannot be read, and the
// connection must be given up.
func (s *step) finish(e *Engine, r rueidis.RedisResult) error {
	values, err := r.ToArray()
	switch {
	case err != nil:
	case s.strays:
		return e.strays(s.part, values)
	case s.syncs != nil || s.all:
		return e.synced(s, values)
	}
	status := ""
	if err == nil {
		status, err = statusOf(values)
	}
	if err != nil {
		if s.fetch != nil {
			e.endFetch(s.fetch, channel.ErrUnavailable)
		}
		return err
	}
	s.m.part.mu.Lock()
	result, again, err := e.joinedLocked(s, status, values)
	open := s.fetch != nil && !s.fetch.over
	if open && !again {
		e.endFetchLocked(s.fetch)
	}
	s.m.part.mu.Unlock()
	switch {
	case !open:
	case again:
		e.queueFetch(s.fetch)
	case err != nil:
		e.finish(s.fetch.done, channel.Result{Err: channel.ErrUnavailable})
	default:
		e.finish(s.fetch.done, channel.Result{Err: result})
	}
	return err
}

// statusOf reads the first element of join.lua's answer.
func statusOf(values []rueidis.RedisMessage) (string, error) {
	if len(values) == 0 {
		return "", errShape
	}
	status, err := values[0].ToString()
	if err != nil {
		return "", errShape
	}
	return status, nil
}

// joinErrors are the refusals of join.lua.
var joinErrors = map[string]error{
	"token": channel.ErrToken, "full": channel.ErrTooManySubscribers, "absent": channel.ErrTooManyChannels,
}

// joinedLocked handles the answer of join.lua. result is the Fetch's; again: the fetch
// has to be queued again; err: the answer cannot be read.
func (e *Engine) joinedLocked(s *step, status string, values []rueidis.RedisMessage) (result error, again bool, err error) {
	m := s.m
	there := m.part.mirrors[m.name] == m
	open := s.fetch != nil && !s.fetch.over
	if s.fetch != nil && !open { // refused meanwhile, and Redis may have counted it
		m.part.group.Load().addCount(m)
	}
	if !there || m.life != s.asked.life {
		// The copy that this is about has ended since.
		return nil, open, nil
	}
	switch status {
	case "ok":
		st, err := readState(values, e.hub.Slot()+slack)
		if err != nil {
			return nil, false, err
		}
		st.part, st.asked = s.tail, s.asked
		e.room.made(st.made)
		if open {
			m.granted++
		}
		if m.checkThere(e.hub); m.ch == nil && s.tail {
			// The hub has freed the copy meanwhile, and the answer has only a part of the
			// history. The Join will fail with ErrFetch and fetch again.
			return nil, false, nil
		}
		e.bringLocked(m, st)
		return nil, false, nil
	case "closed":
		next, err := readNext(values)
		if err != nil {
			return nil, false, err
		}
		e.uncopyLocked(m, next)
		return nil, open, nil
	}
	if result = joinErrors[status]; result == nil {
		return nil, false, errShape
	}
	if s.fetch == nil {
		e.uncopyLocked(m, m.next) // Redis has no such channel, and it has no subscribers here
	} else if status == "absent" && s.fetch.known {
		result = channel.ErrToken
	} else if status == "absent" && s.fetch.existing {
		result = channel.ErrNotFound
	}
	return result, false, nil
}

// uncopyLocked ends the copy of a channel that has ended at next. What came before the
// end and is held is delivered first.
func (e *Engine) uncopyLocked(m *mirror, next int64) {
	e.continueLocked(m)
	if m.ch != nil {
		e.hub.Uncopy(m.ch, channel.Message{Seq: max(next, m.next), Type: channel.Closed})
	}
	m.held = nil
	e.dropLocked(m)
}

func readNext(values []rueidis.RedisMessage) (int64, error) {
	if len(values) < 2 {
		return 0, errShape
	}
	return values[1].AsInt64()
}

// readState reads
// {'ok', epoch, next, floor, subscribers, token, made, mark, ended, time, before, history...}.
// now is what a message has as its time that is stored now.
func readState(values []rueidis.RedisMessage, now uint32) (*state, error) {
	const fixed = 11
	if len(values) < fixed {
		return nil, errShape
	}
	s := new(state)
	var err error
	if s.epoch, s.next, err = epochAndSeq(values, 1); err != nil {
		return nil, err
	}
	if s.floor, err = values[3].AsInt64(); err != nil {
		return nil, errShape
	}
	if s.total, err = values[4].AsInt64(); err != nil {
		return nil, errShape
	}
	if s.token, err = values[5].ToString(); err != nil {
		return nil, errShape
	}
	if s.made, err = values[6].AsInt64(); err != nil {
		return nil, errShape
	}
	if s.mark, err = values[7].ToString(); err != nil {
		return nil, errShape
	}
	n, err := ints(values[8:10], 2)
	if err != nil {
		return nil, err
	}
	s.ended = n[0] == 1
	if s.before, err = values[10].ToString(); err != nil {
		return nil, errShape
	}
	return s, s.readHistory(values[fixed:], n[1], now)
}

// readHistory reads the stored messages. The present time is redisNow for Redis, in tenths
// of a second, and now for the copy.
func (s *state) readHistory(list []rueidis.RedisMessage, redisNow int64, now uint32) error {
	for i := range list {
		text, err := list[i].ToString()
		if err != nil {
			return errShape
		}
		m, mark, at, ok := parseStored(text)
		if !ok {
			return errShape
		}
		m.Seq = s.next - int64(len(list)-i)
		if at > 0 {
			m.At = now - uint32(min(max(0, redisNow-at), int64(now)))
		}
		s.marks = append(s.marks, mark)
		s.history = append(s.history, m)
	}
	return nil
}

// synced handles the answer of sync.lua.
func (e *Engine) synced(s *step, values []rueidis.RedisMessage) error {
	if len(values) != len(s.syncs)+1 {
		return errShape
	}
	counted, err := values[len(s.syncs)].AsInt64()
	if err != nil {
		return errShape
	}
	if s.all && int(counted) > s.counted {
		s.part.group.Load().addStrays(s.part)
	}
	for i, m := range s.syncs {
		one, err := values[i].ToArray()
		if err != nil {
			return errShape
		}
		if err := e.syncedOne(m, s.knew[i], one); err != nil {
			return err
		}
	}
	return nil
}

// strays takes back the counts of channels that this node does not follow. Redis has
// them from before a fail-over that has lost the last counts.
func (e *Engine) strays(p *partition, values []rueidis.RedisMessage) error {
	for i := range values {
		name, err := values[i].ToString()
		if err != nil {
			return errShape
		}
		p.mu.Lock()
		if p.mirrors[name] == nil {
			p.group.Load().addCount(&mirror{part: p, name: name})
		}
		p.mu.Unlock()
	}
	return nil
}

// syncedOne handles the answer about one copy.
func (e *Engine) syncedOne(m *mirror, asked known, values []rueidis.RedisMessage) error {
	p := m.part
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mirrors[m.name] != m || !m.live || m.life != asked.life {
		return nil
	}
	if len(values) == 0 {
		if m.wanted(e.hub) > 0 || m.waiting > 0 {
			e.refresh(m, whyGone) // creates the channel again
		} else {
			e.uncopyLocked(m, m.next)
		}
		return nil
	}
	epoch, next, err := epochAndSeq(values, 0)
	if err != nil {
		return err
	}
	if len(values) < 6 {
		return errShape
	}
	n, err := ints(values[2:4], 2)
	if err != nil {
		return err
	}
	mark, err := values[4].ToString()
	if err != nil {
		return errShape
	}
	ended, err := values[5].AsInt64()
	if err != nil {
		return errShape
	}
	// Events may have been applied between the question and the answer. An answer between
	// the copy's next then and now is merely older, and no mismatch.
	older := asked.next <= next && next < m.next
	endDiffers := ended == 1 != m.ended && asked.ended == m.ended
	if epoch != m.epoch || endDiffers || !older && (next != m.next || mark != m.mark) {
		e.refresh(m, whyBehind)
		return nil
	}
	s := state{total: n[1]}
	e.hub.Learn(m.ch, "", s.crowded(e.hub.ClassOf([]byte(m.name)).MaxSubscribers))
	if n[0] > m.floor {
		m.floor = n[0]
		e.hub.DropBelow(m.ch, m.floor)
	}
	return nil
}
