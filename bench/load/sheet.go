//go:build linux

package load

import (
	"golang.org/x/sys/unix"

	"icomet/bench/procstat"
	"icomet/bench/tally"
)

// published reports that a fixed number of messages was published and received by all.
func (w *worker) published() bool {
	fixed := false
	for _, g := range w.groups {
		for _, p := range g.pubs {
			if g.Broadcasts == 0 || p.sent < uint64(g.Broadcasts) || p.inFlight > 0 || p.unanswered() > 0 {
				return false
			}
			fixed = true
		}
	}
	return fixed
}

// sheet is the worker's result, with what never came counted as lost.
func (w *worker) sheet() (*Sheet, error) {
	if w.stage == stageOver && w.from > 0 {
		w.remaining()
	}
	s := &Sheet{Total: w.counts, Measured: w.measured, CPU: w.cpu, RSS: procstat.SelfRSS(), FirstFailure: w.failure,
		Opening: w.opener.upAt - w.opener.began, Seconds: float64(w.until-w.from) / 1e9}
	var err error
	if s.Latency, err = tally.Encode(w.latency); err != nil {
		return nil, err
	}
	if s.Answer, err = tally.Encode(w.answer); err != nil {
		return nil, err
	}
	s.Cycle, err = tally.Encode(w.cycle)
	return s, err
}

// close resets the subscriptions: a million that were closed in the usual way would leave
// as many half-closed sockets in the kernel, with memory and ports, while the server ends.
func (w *worker) close() {
	for i := range w.subs {
		if fd := int(w.subs[i].fd); fd >= 0 {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			w.hangUp(uint32(i), &w.subs[i])
		}
	}
	if w.secure != nil {
		w.secure.close()
	}
	for _, p := range w.pubs {
		if p.fd >= 0 {
			unix.Close(int(p.fd))
		}
	}
	unix.Close(int(w.timer))
	unix.Close(w.epoll)
}
