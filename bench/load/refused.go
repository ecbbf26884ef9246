//go:build linux

package load

import "time"

// retryPause is shorter than the second of Retry-After: an overload ends when a queue has
// drained, and a harness need not spare the server.
const retryPause = 50 * time.Millisecond

var retryAfter = []byte("\r\nRetry-After:")

// refuseSubscriber notes that the server could not take a subscription now, and that it is
// to be tried again.
func (w *worker) refuseSubscriber(slot uint32) {
	w.counts.Refused++
	o := &w.opener
	o.inFlight--
	o.later = append(o.later, slot)
	o.laterAt = Now() + int64(time.Second) // as Retry-After says
}

// refuse notes that the server refused a message as overload, and that it is to be sent
// again: it is late, not lost. It returns false when another message of the channel may be
// on its way, which would get its seq. (A publisher serves its channels in turn.)
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

// askAgain sends what was refused, once all answers have come and retryPause is over. It
// returns the publishers that still have to wait.
func (w *worker) askAgain(list []*publisher, t int64) []*publisher {
	waiting := list[:0]
	for _, p := range list {
		switch {
		case len(p.again) == 0: // its connection has ended: they are counted as failed
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
