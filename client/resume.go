package client

import (
	"errors"
	"fmt"
	"time"
)

// place is where a subscription is.
type place struct {
	epoch string // of next; "": not known
	next  int64  // the number of the next message wanted; 0: not known yet
}

// position is directly before the next message; the zero value if it is not known.
func (p place) position() Position {
	if p.epoch == "" {
		return Position{}
	}
	return Position{p.epoch, p.next - 1}
}

// subscription is one channel of a run, which owns it but for what is kept.
type subscription struct {
	name string
	progress

	// Guarded by the roster's lock, once it is in one.
	kept    Start // where a later Messages goes on
	gone    bool  // it was removed, or has ended
	waiting bool  // it was refused, and its time to be asked for again has not come
}

// progress is how far a subscription is in a run.
type progress struct {
	run *run // nil: it has not begun

	place
	sure      place     // where a later Messages goes on: before what the next message would say is lost
	last      int       // how many stored messages are wanted, until next is known
	fresh     bool      // messages missing before the first one do not count as lost
	restarted bool      // for the next message
	lost      int64     // for the next message; -1: unknown
	reason    Reason    // for the next message
	began     time.Time // when the numbering was last seen to be another one
	token     string    // the last result of newToken
	signed    bool      // token is to be sent
	denied    int       // tokens refused in a row
	renewed   time.Time // when a refused token was last replaced without a wait
	refusals  int       // of any kind in a row
	notBefore time.Time // when it may be asked for after a refusal
	told      bool      // this connection has brought its position; with Poll, this one or one since the last failure
	asked     string    // the epoch that this connection has asked with
	stale     bool      // what this connection brings begins in the middle, so the next one counts
}

func newSubscription(where Start) *subscription {
	return &subscription{name: where.Channel, kept: where}
}

// begin sets where the subscription starts in a run.
func (s *subscription) begin(r *run) {
	if s.run == r {
		return
	}
	where := s.kept
	s.progress = progress{run: r}
	s.next, s.fresh, s.last = where.Seq, where.Seq < 2, where.Last
	switch {
	case where.From != (Position{}):
		s.epoch, s.next, s.fresh, s.last = where.From.Epoch, where.From.Seq+1, false, 0
	case where.Last > 0:
		s.next, s.fresh = 0, true
	}
	s.keep()
	if at, there := r.left[s.name]; there && time.Since(at) < leastHeartbeat {
		s.later(r.pause(0, nil)) // OnEnd may add it again each time that it ends
	}
}

// due reports whether the subscription may be asked for now.
func (s *subscription) due(r *run) bool {
	if time.Until(s.notBefore) > 0 {
		return false
	}
	s.begin(r)
	return time.Until(s.notBefore) <= 0
}

// later says that the subscription is not to be asked for before wait is over.
func (s *subscription) later(wait time.Duration) {
	s.notBefore = time.Now().Add(wait)
	s.run.roster.changeLater(s, wait)
}

// keep makes the present place the one where a later Messages goes on, unless the next
// message will say that some are lost before it. It is false if the channel is gone: then
// its place stays what Remove has returned.
func (s *subscription) keep() bool {
	if s.lost == 0 {
		s.sure = s.place
	}
	return s.run.roster.keep(s, Start{Channel: s.name, From: s.sure.position(), Last: s.last, Seq: s.sure.next})
}

// sign gets a token, if one is needed.
func (s *subscription) sign() error {
	if s.run.newToken == nil || s.signed {
		return nil
	}
	token, err := s.run.newToken(s.run.ctx, s.name, s.denied)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	s.token, s.signed = token, true
	return nil
}

// refused handles the refusal of one of several channels: the others go on, and it is
// asked for again later. Only the error of the last one that cannot be had ends the run.
func (s *subscription) refused(err error) error {
	r := s.run
	delete(r.asked, s.name)
	atOnce := false
	switch {
	case r.ctx.Err() != nil: // newToken was interrupted
		return r.ctx.Err()
	case errors.Is(err, ErrUnauthorized):
		if r.newToken == nil || !s.signed { // newToken itself has returned it
			return r.leave(s, ErrUnauthorized)
		}
		atOnce = s.denyToken()
	case !Temporary(err): // as newToken says
		return r.leave(s, err)
	}
	s.refusals++
	if atOnce {
		r.roster.change()
		return nil
	}
	wait := r.pause(s.refusals-1, err)
	s.later(wait)
	r.failed(fmt.Errorf("channel %s: %w", s.name, err), wait)
	return nil
}

// denyToken drops a token that was refused, and counts it. It is true if another may be tried at once,
// since the token may only have expired: not again and again, even if the server accepts
// each for a moment.
func (s *subscription) denyToken() bool {
	s.signed = false
	if s.denied++; s.denied > 1 || time.Since(s.renewed) < leastHeartbeat {
		return false
	}
	s.renewed = time.Now()
	return true
}

// take handles what the server has sent. An error ends the connection.
func (r *run) take(m incoming) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err() // what was read before is not for a caller who has stopped
	}
	s := r.asked[m.Channel]
	if !r.many {
		s = r.roster.all()[0]
	}
	switch {
	case m.Type == typeNoop:
		r.got = true
		return r.heartbeat()
	case s == nil:
		r.got = true
		return nil
	case r.roster.isGone(s): // it has just been removed
		r.got, r.moved = true, true
		return nil
	case s.stale:
		return nil
	}
	err := s.handle(m)
	s.keep()
	return err
}

// heartbeat notices a server that follows only the first of several channels, and has
// nothing of that.
func (r *run) heartbeat() error {
	if len(r.asked) < 2 || r.transport == WebSocket {
		return nil
	}
	for _, s := range r.asked {
		if s.told {
			return nil
		}
	}
	return errTooFew
}

func (s *subscription) handle(m incoming) error {
	r := s.run
	switch m.Type {
	case typeToken, typeTooMany:
		err := ErrUnauthorized
		if m.Type == typeTooMany {
			err = ErrTooMany
		}
		if r.many {
			return s.refused(err)
		}
		r.got = false
		return err
	}
	r.got = true
	switch m.Type {
	case typeData, typeBroadcast, typeNextSeq:
		s.denied, s.refusals = 0, 0
		if len(r.asked) > 1 && !s.told { // of several channels, each begins with its position
			return errTooFew
		}
		s.unproven()
		if m.Type == typeNextSeq {
			return s.numbering(m.Seq)
		}
		return s.deliver(m.Message)
	case typePosition:
		s.denied, s.refusals = 0, 0
		return s.takePosition(m)
	case typeEnd:
		return r.leave(s, ErrEnded)
	case typeClose:
		return r.leave(s, ErrClosed)
	}
	return nil // a type of a later server version
}

// unproven forgets the epoch when a message comes without a position before it: its server
// is older than 0.2, so its numbers may be those of another life.
func (s *subscription) unproven() {
	s.last = 0
	if !s.told {
		s.epoch = ""
	}
}

func (s *subscription) deliver(m Message) error {
	if m.Seq < s.next {
		return nil
	}
	if gap := m.Seq - s.next; gap > 0 && s.next > 0 && !s.fresh {
		s.skip(gap)
	}
	m.Epoch, m.Lost, m.Reason, m.Restarted = s.epoch, s.lost, s.reason, s.restarted
	s.lost, s.reason, s.restarted, s.fresh, s.run.moved = 0, "", false, false, true
	s.next = m.Seq + 1
	if !s.keep() {
		return nil // it was removed a moment ago
	}
	if !s.run.yield(m, nil) {
		return errStopped
	}
	return nil
}

// skip counts the messages that the numbers show to be missing.
func (s *subscription) skip(gap int64) {
	reason := Reason("")
	if s.epoch != "" {
		reason = ReasonTrimmed
	}
	s.next += gap
	s.missing(gap, reason)
}

// missing remembers for the next message, and tells at once, that messages before s.next
// are missing.
func (s *subscription) missing(count int64, reason Reason) {
	switch {
	case s.lost < 0: // and s.reason says why
	case count < 0:
		s.lost, s.reason = -1, reason
	default:
		s.lost, s.reason = s.lost+count, reason
	}
	s.tell(Recovery{Position: s.position(), Lost: count, Reason: reason})
}

func (s *subscription) tell(what Recovery) {
	if s.run.onPosition != nil {
		s.run.onPosition(s.name, what)
	}
}

// numbering handles the next message's number from a server that tells no position.
func (s *subscription) numbering(next int64) error {
	if next != s.next {
		s.run.moved = true
	}
	switch {
	case s.next == 0 || s.fresh:
		s.next, s.fresh = next, false
	case next > s.next:
		s.skip(next - s.next)
	case next < s.next:
		// The channel is a new one. Its first messages may still be stored, so they are
		// asked for from the first on.
		s.beginAnew()
		s.epoch, s.next, s.run.eventID = "", 1, ""
		s.missing(-1, "")
		if next > 1 {
			return errAgain
		}
	}
	return nil
}

// takePosition handles what the server says about the messages that follow.
func (s *subscription) takePosition(m incoming) error {
	if p := (Position{m.Epoch, m.Seq - 1}); !p.valid() {
		return fmt.Errorf("not a position: epoch %.20q, seq %d", m.Epoch, m.Seq)
	}
	if !s.told && s.asked != s.epoch {
		s.stale = s.judge(&m)
	}
	if !s.told || m.Epoch != s.epoch || m.Seq != s.next {
		s.run.moved = true
	}
	s.told = true
	another := s.epoch != "" && m.Epoch != s.epoch
	if another && m.Recovered {
		m.Recovered, m.Lost, m.Reason = false, -1, ReasonEpoch // nothing of another life can be recovered
	}
	// Another number than the expected one, and yet recovered, is not believed: the
	// messages that follow show what is missing.
	if !m.Recovered || s.next == 0 || s.fresh {
		s.next = m.Seq
	}
	s.epoch, s.last, s.fresh = m.Epoch, 0, false
	if m.Recovered {
		s.tell(Recovery{Position: s.position(), Recovered: true})
		return nil
	}
	if another || m.Reason == ReasonAhead {
		s.beginAnew()
	}
	s.missing(m.Lost, m.Reason)
	return nil
}

// beginAnew notes that the numbering is another one than before.
func (s *subscription) beginAnew() {
	s.restarted = true
	if time.Since(s.began) < leastHeartbeat {
		s.run.restless = true
	}
	s.began = time.Now()
}

// judge makes of a position that was asked for without the epoch what it would be with it.
// The messages of another life follow from where the client was in its own, not from the
// first one, which a new poll asks for: then middle is true.
func (s *subscription) judge(m *incoming) (middle bool) {
	m.Recovered, m.Lost, m.Reason = false, -1, ReasonAhead
	switch gap := m.Seq - s.next; {
	case m.Epoch != s.epoch:
		middle = m.Seq > 1
		m.Seq, m.Reason = 1, ReasonEpoch
	case gap == 0:
		m.Recovered, m.Lost, m.Reason = true, 0, ""
	case gap > 0:
		m.Lost, m.Reason = gap, ReasonTrimmed
	}
	return middle
}
