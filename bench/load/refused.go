//go:build linux

package load

import "time"

// retryPause is shorter than the second of Retry-After: an overload is over when a
// queue has been worked off, and a harness need not spare the server.
const retryPause = 50 * time.Millisecond

var retryAfter = []byte("\r\nRetry-After:")

// refuseSubscriber has a subscription tried again that the server could not take now.
func (w *worker) refuseSubscriber(slot uint32) {
	w.counts.Refused++
	o := &w.opener
	o.inFlight--
	o.later = append(o.later, slot)
	o.laterAt = Now() + int64(time.Second) // as Retry-After says
}

// refuse takes a message that the server has refused as overload, to send it again
// later: it is late, not lost. That works only when no other message of the channel is
// on its way, which would get its seq; the publisher goes through its channels in turn.
func (w *worker) refuse(p *publisher, m asked) bool {
	g := p.group
	if m.index == g.broadcast || g.Depth > share(g.Channels, p.id, g.Publishers) {
		return false
	}
	w.counts.Refused++
	if len(p.again) == 0 {
		w.refused = append(w.refused, p)
	}
	p.again = append(p.again, m)
	p.againAt = w.readAt + int64(retryPause)
	return true
}

// askAgain sends what was refused once all answers have come and some time has gone by.
// It returns the publishers that have to wait on.
func (w *worker) askAgain(list []*publisher, t int64) []*publisher {
	waiting := list[:0]
	for _, p := range list {
		switch {
		case len(p.again) == 0: // its connection has gone, and they are counted
		case p.asked != p.answered || t < p.againAt:
			waiting = append(waiting, p)
		default:
			for _, m := range p.again {
				w.ask(p, m)
			}
			p.again = p.again[:0]
			w.enqueue(p)
		}
	}
	return waiting
}
