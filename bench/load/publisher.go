//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"icomet/bench/protocol"
	"icomet/bench/tally"
)

// publisher is one connection to the admin port.
type publisher struct {
	protocol.Wire
	group    *groupState
	id       int // over all workers
	slot     int // in worker.pubs
	fd       int32
	blocked  bool     // the socket is full: waits for EPOLLOUT
	ready    bool     // in worker.ready
	bad      string   // what is wrong with the answer being read
	later    bool     // it asks to try again, and nothing was done
	out      []byte   // requests not sent yet
	rest     []byte   // the beginning of an answer
	inFlight int      // messages that not all subscribers have
	sent     uint64   // messages
	asked    uint64   // requests: a refused message is asked for again
	answered uint64   // requests
	flight   []asked  // request n, at n % Depth
	again    []asked  // refused, to be asked for again
	againAt  int64    // not before this time
	due      uint64   // open loop: requests whose time has come
	queue    []uint32 // churn: channels whose subscriber waits
}

func newPublisher(g *groupState, id, slot int) *publisher {
	return &publisher{group: g, id: id, slot: slot, fd: -1, flight: make([]asked, g.Depth)}
}

// asked is a message that was requested.
type asked struct {
	at            int64 // when it was sent or meant to be
	index, number uint32
}

// unanswered is how many messages are not settled.
func (p *publisher) unanswered() int { return int(p.asked-p.answered) + len(p.again) }

// channelAt is the channel of a publisher's nth message.
func (p *publisher) channelAt(n uint64) uint32 {
	g := p.group
	own := uint64(share(g.Channels, p.id, g.Publishers))
	return g.base + uint32(p.id) + uint32(n%own)*uint32(g.Publishers)
}

// home returns the worker that publishes to a channel.
func (g *groupState) home(index uint32, procs int) int {
	if g.Publishers == 0 || index == g.broadcast {
		return 0
	}
	return int(index-g.base) % g.Publishers % procs
}

// publisherOf returns the publisher of a channel whose home is here, nil if it has none.
func (w *worker) publisherOf(g *groupState, index uint32) *publisher {
	if len(g.pubs) == 0 {
		return nil
	}
	if index == g.broadcast {
		return g.pubs[0]
	}
	return g.pubs[int(index-g.base)%g.Publishers/w.Scenario.Procs]
}

// connectPublisher waits for the connection: there are few, and they are made at the start
// or after a long pause.
func (w *worker) connectPublisher(p *publisher) error {
	admin := w.admins[p.id%len(w.admins)]
	fd, err := dial(admin, 0, 0)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", admin, err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if _, err = unix.Poll(poll, int(w.Scenario.Timeout.Milliseconds())); err == nil {
		err = connectError(int32(fd))
	}
	if err == nil {
		err = w.watch(unix.EPOLL_CTL_ADD, int32(fd), readInterests, p.slot, tag(rolePublisher, 0))
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("connect to %s: %w", admin, err)
	}
	p.fd, p.Wire, p.rest, p.out, p.blocked = int32(fd), protocol.Wire{}, nil, p.out[:0], false
	return nil
}

func (w *worker) enqueue(p *publisher) {
	if !p.ready {
		p.ready = true
		w.ready = append(w.ready, p)
	}
}

// flush makes all requests that may be sent now, and sends them in one write.
func (w *worker) flush(p *publisher) {
	if p.blocked || w.stage < stageWarm {
		return
	}
	t := Now()
	for w.mayPublish(p) {
		w.makeRequest(p, t)
	}
	if len(p.out) == 0 {
		return
	}
	if p.fd < 0 { // closed by the server while idle
		out := append([]byte(nil), p.out...)
		if err := w.connectPublisher(p); err != nil {
			w.publisherLost(p, err)
			return
		}
		p.out = append(p.out, out...)
	}
	n, errno := send(p.fd, p.out)
	if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
		w.publisherLost(p, errno)
		return
	}
	if errno != 0 {
		n = 0
	}
	p.out = p.out[:copy(p.out, p.out[n:])]
	if len(p.out) > 0 {
		p.blocked = true
		if err := w.watch(unix.EPOLL_CTL_MOD, p.fd, readInterests|unix.EPOLLOUT, p.slot, tag(rolePublisher, 0)); err != nil {
			w.publisherLost(p, err)
		}
	}
}

// mayPublish decides by the group's loop: closed, open, churn or broadcast.
func (w *worker) mayPublish(p *publisher) bool {
	g := p.group
	switch {
	case p.unanswered() >= g.Depth || len(p.again) > 0:
		return false
	case g.Churn:
		return len(p.queue) > 0
	case w.stage >= stageDrain:
		return false
	case g.Broadcasts > 0:
		return p.inFlight == 0 && p.sent < uint64(g.Broadcasts)
	case g.Rate > 0:
		return p.sent < p.due
	case g.AnswersOnly:
		return true
	}
	return p.inFlight < g.Depth
}

func (w *worker) makeRequest(p *publisher, t int64) {
	g := p.group
	var index uint32
	switch {
	case g.Churn:
		index = p.queue[0]
		p.queue = p.queue[1:]
	case g.Broadcasts > 0:
		index = g.broadcast
	default:
		index = p.channelAt(p.sent)
		if g.Rate > 0 {
			t = g.schedule.at(p.sent*uint64(g.Publishers) + uint64(p.id))
		}
	}
	ch := &w.channels[index]
	ch.published++
	if ch.parts > 0 {
		p.inFlight++
	}
	w.owed += int64(ch.need)
	w.counts.Sent++
	p.sent++
	w.ask(p, asked{t, index, ch.published})
}

// ask appends the request for a message.
func (w *worker) ask(p *publisher, m asked) {
	g := p.group
	if m.index == g.broadcast {
		p.out = w.codec.Broadcast(p.out, g.Contents, m.at, m.number)
	} else {
		p.out = w.codec.Publish(p.out, g.Contents, m.at, m.index, m.number)
	}
	p.flight[p.asked%uint64(len(p.flight))] = m
	p.asked++
}

func (w *worker) publisherEvent(p *publisher, events uint32) {
	if events&unix.EPOLLOUT != 0 && p.blocked {
		p.blocked = false
		if err := w.watch(unix.EPOLL_CTL_MOD, p.fd, readInterests, p.slot, tag(rolePublisher, 0)); err != nil {
			w.publisherLost(p, err)
			return
		}
		w.enqueue(p)
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	w.makeRoom(len(p.rest))
	copy(w.buf, p.rest)
	n, errno := receive(p.fd, w.buf[len(p.rest):])
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0:
		w.publisherLost(p, errno)
		return
	case n == 0:
		w.publisherLost(p, errors.New("the server closed the connection"))
		return
	}
	w.readAt = Now()
	b := w.buf[:len(p.rest)+n]
	w.answers = answers{w, p}
	used, err := p.Feed(b, &w.answers)
	if err != nil {
		w.publisherLost(p, err)
		return
	}
	p.rest = append(p.rest[:0], b[used:]...)
}

// publisherLost closes a publisher's connection. The server may close one that has nothing
// in flight: its next request connects again.
func (w *worker) publisherLost(p *publisher, err error) {
	if p.fd >= 0 {
		unix.Close(int(p.fd))
	}
	p.fd, p.blocked = -1, false
	if n := p.unanswered(); n > 0 {
		w.fail(&w.counts.PublishFailed, n, "%s: publisher %d: %v", p.group.Name, p.id, err)
		p.answered, p.again = p.asked, nil
		p.out = p.out[:0]
	}
}

// answers receives a publisher's responses.
type answers struct {
	w *worker
	p *publisher
}

func (a *answers) Head(status int, head []byte) error {
	a.p.bad, a.p.later = "", false
	if !a.w.codec.Published(status) {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		a.p.bad = string(line)
	}
	return nil
}

func (a *answers) Piece(body []byte) error {
	if a.p.bad != "" || !a.w.codec.Accepted(body) {
		a.p.later = a.w.codec.Later(a.p.bad, body)
		a.p.bad = fmt.Sprintf("%s %.120q", a.p.bad, body)
	}
	return nil
}

func (a *answers) End() error {
	w, p := a.w, a.p
	if p.asked == p.answered {
		return errors.New("an answer without a request")
	}
	m := p.flight[p.answered%uint64(len(p.flight))]
	p.answered++
	if p.later && w.refuse(p, m) {
		return nil
	}
	if p.bad != "" {
		w.fail(&w.counts.PublishFailed, 1, "%s: publisher %d: answered %s", p.group.Name, p.id, p.bad)
	} else {
		w.counts.Answered++
		if w.stage == stageMeasured {
			tally.Record(w.answer, w.readAt-m.at)
		}
	}
	w.lastMove = w.readAt
	w.enqueue(p)
	return nil
}
