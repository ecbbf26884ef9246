package client

import (
	"fmt"
	"net/http"
)

// begin sets where the subscription starts.
func (r *run) begin() error {
	r.next, r.fresh, r.last = r.Seq, r.Seq < 2, r.Last
	switch {
	case r.From != (Position{}):
		if !r.From.valid() {
			return &StatusError{Status: http.StatusBadRequest, Text: "From: " + errPosition.Error()}
		}
		r.epoch, r.next, r.fresh, r.last = r.From.Epoch, r.From.Seq+1, false, 0
	case r.Last < 0:
		return &StatusError{Status: http.StatusBadRequest, Text: "Last: want 0 or more"}
	case r.Last > 0:
		r.next, r.fresh = 0, true
	}
	r.sure = r.place
	return nil
}

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

// take handles what the server has sent. An error ends the connection.
func (r *run) take(m incoming) error {
	err := r.handle(m)
	if r.lost == 0 {
		r.sure = r.place
	}
	return err
}

func (r *run) handle(m incoming) error {
	r.got = true
	switch m.Type {
	case typeData, typeBroadcast:
		r.denied = 0
		r.unproven()
		return r.deliver(m.Message)
	case typeNextSeq:
		r.denied = 0
		r.unproven()
		return r.numbering(m.Seq)
	case typePosition:
		r.denied = 0
		return r.takePosition(m)
	case typeEnd:
		return ErrEnded
	case typeClose:
		return ErrClosed
	case typeToken:
		r.got = false
		return ErrUnauthorized
	case typeTooMany:
		r.got = false
		return ErrTooMany
	}
	return nil // a heartbeat, or a type of a later server version
}

// unproven forgets the epoch when a message comes without a position before it: its server
// is older than 0.2, so its numbers may be those of another life.
func (r *run) unproven() {
	r.last = 0
	if !r.told {
		r.epoch = ""
	}
}

func (r *run) deliver(m Message) error {
	if m.Seq < r.next {
		return nil
	}
	if gap := m.Seq - r.next; gap > 0 && r.next > 0 && !r.fresh {
		r.skip(gap)
	}
	m.Epoch, m.Lost, m.Reason, m.Restarted = r.epoch, r.lost, r.reason, r.restarted
	r.lost, r.reason, r.restarted, r.fresh, r.moved = 0, "", false, false, true
	r.next = m.Seq + 1
	if !r.yield(m, nil) {
		return errStopped
	}
	return nil
}

// skip counts the messages that the numbers show to be missing.
func (r *run) skip(gap int64) {
	reason := Reason("")
	if r.epoch != "" {
		reason = ReasonTrimmed
	}
	r.next += gap
	r.missing(gap, reason)
}

// missing remembers for the next message, and tells at once, that messages before r.next
// are missing.
func (r *run) missing(count int64, reason Reason) {
	switch {
	case r.lost < 0: // and r.reason says why
	case count < 0:
		r.lost, r.reason = -1, reason
	default:
		r.lost, r.reason = r.lost+count, reason
	}
	r.tell(Recovery{Position: r.position(), Lost: count, Reason: reason})
}

func (r *run) tell(what Recovery) {
	if r.OnPosition != nil {
		r.OnPosition(what)
	}
}

// numbering handles the next message's number from a server that tells no position.
func (r *run) numbering(next int64) error {
	if next != r.next {
		r.moved = true
	}
	switch {
	case r.next == 0 || r.fresh:
		r.next, r.fresh = next, false
	case next > r.next:
		r.skip(next - r.next)
	case next < r.next:
		// The channel is a new one. Its first messages may still be stored, so they are
		// asked for from the first on.
		r.restarted, r.epoch, r.next, r.eventID = true, "", 1, ""
		r.missing(-1, "")
		if next > 1 {
			return errAgain
		}
	}
	return nil
}

// takePosition handles what the server says about the messages that follow.
func (r *run) takePosition(m incoming) error {
	if p := (Position{m.Epoch, m.Seq - 1}); !p.valid() {
		return fmt.Errorf("not a position: epoch %.20q, seq %d", m.Epoch, m.Seq)
	}
	middle := false
	if !r.told && r.asked != r.epoch {
		middle = r.judge(&m)
	}
	if !r.told || m.Epoch != r.epoch || m.Seq != r.next {
		r.moved = true
	}
	r.told = true
	another := r.epoch != "" && m.Epoch != r.epoch
	if another && m.Recovered {
		m.Recovered, m.Lost, m.Reason = false, -1, ReasonEpoch // nothing of another life can be recovered
	}
	// Another number than the expected one, and yet recovered, is not believed: the
	// messages that follow show what is missing.
	if !m.Recovered || r.next == 0 || r.fresh {
		r.next = m.Seq
	}
	r.epoch, r.last, r.fresh = m.Epoch, 0, false
	if m.Recovered {
		r.tell(Recovery{Position: r.position(), Recovered: true})
		return nil
	}
	if another || m.Reason == ReasonAhead {
		r.restarted = true
	}
	r.missing(m.Lost, m.Reason)
	if middle {
		return errAgain
	}
	return nil
}

// judge makes of a position that was asked for without the epoch what it would be with it.
// The messages of another life follow from where the client was in its own, not from the
// first one: then middle is true.
func (r *run) judge(m *incoming) (middle bool) {
	m.Recovered, m.Lost, m.Reason = false, -1, ReasonAhead
	switch gap := m.Seq - r.next; {
	case m.Epoch != r.epoch:
		middle = m.Seq > 1
		m.Seq, m.Reason = 1, ReasonEpoch
	case gap == 0:
		m.Recovered, m.Lost, m.Reason = true, 0, ""
	case gap > 0:
		m.Lost, m.Reason = gap, ReasonTrimmed
	}
	return middle
}
