//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"icomet/bench/protocol"
	"icomet/bench/scenario"
)

// States of a subscription.
const (
	subIdle    uint8 = iota // no connection
	subDialing              // the request is not sent yet
	subWaiting              // sent, no head yet
	subUp
	subOver // it failed to come up, was ended by the server, or was cut off as slow
)

// subscriber is one connection. A worker has one slice of them. An idle one has nothing
// else but the seats of its channels, no buffer and no goroutine: 19,000 must not cost the
// harness more than they cost the server.
type subscriber struct {
	protocol.Wire
	fd         int32
	channel    uint32 // the first
	generation uint16 // of fd, see tag
	group      uint8
	state      uint8
	tries      uint8
	slow       bool
}

const (
	connectTries  = 3
	slowBuffer    = 4096 // a slow reader's receive buffer: the server must notice soon
	resumeBuffer  = 1 << 20
	readInterests = unix.EPOLLIN | unix.EPOLLRDHUP
)

var (
	errLeft    = errors.New("left") // the subscriber itself ends it: not a failure
	errEnded   = errors.New("the server ended the response")
	errRefused = errors.New("refused in band")
	errLater   = errors.New("asked to come later")
)

// opener is the state of the opening stage.
type opener struct {
	began, moved, upAt int64
	next               int // slot
	inFlight           int
	again              []uint32 // slots to try once more
	later              []uint32 // refused as overload: to try once more at laterAt
	laterAt            int64
	published          bool // the publishers are connected
}

func (o *opener) begin(t int64) { o.began, o.moved, o.upAt = t, t, t }

// open keeps up to concurrency connects under way. It returns true when none is left to make.
func (w *worker) open(t int64) (bool, error) {
	o := &w.opener
	if !o.published {
		o.published = true
		for _, p := range w.pubs {
			if err := w.connectPublisher(p); err != nil {
				return false, fmt.Errorf("publisher: %w", err)
			}
		}
	}
	if len(o.later) > 0 && t >= o.laterAt {
		o.again, o.later = append(o.again, o.later...), nil
	}
	for o.inFlight < w.concurrency {
		var slot uint32
		if n := len(o.again); n > 0 {
			slot = o.again[n-1]
			o.again = o.again[:n-1]
		} else if o.next < len(w.subs) {
			slot = uint32(o.next)
			o.next++
			if w.groups[w.subs[slot].group].Churn {
				continue // comes and goes later
			}
		} else {
			break
		}
		o.inFlight++
		w.connect(slot)
	}
	if o.inFlight == 0 && o.next == len(w.subs) && len(o.again)+len(o.later) == 0 {
		return true, nil
	}
	if t-o.moved > int64(w.Scenario.Timeout) {
		w.fail(&w.counts.ConnectFailed, o.inFlight+len(o.later)+len(w.subs)-o.next, "connecting: nothing came up for %s", w.Scenario.Timeout)
		return true, nil
	}
	return false, nil
}

// opened notes that a subscription came up or failed for good.
func (w *worker) opened(t int64) {
	o := &w.opener
	o.moved, o.upAt = t, t
	o.inFlight--
}

// connect begins a subscriber's connection. It sends the request at once if the connection
// is up already, as it mostly is on loopback.
func (w *worker) connect(slot uint32) {
	s := &w.subs[slot]
	buffer := 0
	if s.slow {
		buffer = slowBuffer
	}
	w.dialled++
	// Each worker has source addresses of its own, so that none uses up another's ports.
	source := w.dialled + uint32(w.Index)*(scenario.MaxSubscribers/uint32(w.Scenario.Procs))
	fd, err := dial(w.frontOf(slot, s), source, buffer)
	if err != nil {
		w.lost(slot, s, fmt.Errorf("connect: %w", err))
		return
	}
	s.fd, s.state, s.Wire = int32(fd), subDialing, protocol.Wire{}
	s.generation++
	events := uint32(readInterests)
	if w.secure != nil {
		events |= unix.EPOLLOUT // then the handshake begins
	} else if err = w.request(slot, s); err == unix.EAGAIN {
		events, err = events|unix.EPOLLOUT, nil
	}
	if err == nil {
		err = w.watch(unix.EPOLL_CTL_ADD, s.fd, events, int(slot), tag(roleSubscriber, s.generation))
	}
	if err != nil {
		w.lost(slot, s, err)
	}
}

// frontOf is the node of a subscriber: those of a channel are spread over all nodes,
// and each node has as many as the others.
func (w *worker) frontOf(slot uint32, s *subscriber) netip.AddrPort {
	g := w.groups[s.group]
	i, stride := w.number(g, slot), g.stride()
	return w.fronts[(i/stride+i%stride)%len(w.fronts)]
}

// request sends a subscriber's request.
func (w *worker) request(slot uint32, s *subscriber) error {
	var cursor []byte
	if w.cursors != nil {
		cursor = w.cursors[slot]
	}
	g := w.groups[s.group]
	w.places = w.appendPlaces(w.places[:0], g, slot)
	w.out = w.codec.Subscribe(w.out[:0], g.Transport, w.places, cursor)
	if err := w.say(slot, s); err != nil {
		return err
	}
	if g.Transport == protocol.Poll && s.state == subDialing {
		w.up(slot, s) // a poll that waits says nothing
	} else if s.state == subDialing {
		s.state = subWaiting
	}
	return nil
}

func (w *worker) up(slot uint32, s *subscriber) {
	s.state = subUp
	w.counts.Connected++
	if g := w.groups[s.group]; g.Churn {
		w.churnUp(g, s)
		return
	}
	w.opened(Now())
	if s.slow {
		// Only its end is still of interest.
		if err := w.watch(unix.EPOLL_CTL_MOD, s.fd, unix.EPOLLRDHUP, int(slot), tag(roleSubscriber, s.generation)); err != nil {
			w.lost(slot, s, err)
		}
	}
}

// resume makes the slow readers read again, at the end: the end of a connection that was
// cut off is behind the bytes that the kernel holds for it. All messages before that end
// must arrive, and whoever was not cut off must get all.
func (w *worker) resume() {
	for slot := range w.subs {
		s := &w.subs[slot]
		if !s.slow || s.state != subUp {
			continue
		}
		err := unix.SetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_RCVBUF, resumeBuffer)
		if err == nil {
			err = w.watch(unix.EPOLL_CTL_MOD, s.fd, readInterests, slot, tag(roleSubscriber, s.generation))
		}
		if err != nil {
			w.lost(uint32(slot), s, err)
		}
	}
}

func (w *worker) subscriberEvent(slot uint32, s *subscriber, events uint32) {
	if s.state == subDialing && w.secure != nil {
		w.secureEvent(slot, s)
		return
	}
	if s.state == subDialing {
		err := connectError(s.fd)
		if err == nil {
			err = w.request(slot, s)
		}
		if err == nil {
			err = w.watch(unix.EPOLL_CTL_MOD, s.fd, readInterests, int(slot), tag(roleSubscriber, s.generation))
		}
		if err != nil {
			w.lost(slot, s, fmt.Errorf("connect: %w", err))
		}
		return
	}
	if s.slow && s.state == subUp && w.stage < stageDrain {
		w.lost(slot, s, errors.New("cut off"))
		return
	}
	for w.read(slot, s) && w.secure != nil { // of what is left in a socket, epoll tells
	}
}

// lost ends a subscription and counts why. errLeft is no failure.
func (w *worker) lost(slot uint32, s *subscriber, err error) {
	state := s.state
	w.drop(slot, s)
	g := w.groups[s.group]
	switch {
	case err == errLeft:
	case protocol.IsCorrupt(err):
		w.fail(&w.counts.Corrupt, 1, "%s: channel %d: %v", g.Name, s.channel, err)
	case state == subUp && s.slow:
		w.counts.SlowCut++ // rightly
	case state == subUp:
		w.fail(&w.counts.Closed, 1, "%s: channel %d: %v", g.Name, s.channel, err)
	case errors.Is(err, errLater) && w.stage == stageOpening:
		w.refuseSubscriber(slot)
		return
	case s.tries+1 < connectTries && !errors.Is(err, errRefused):
		s.tries++
		w.opener.inFlight--
		w.opener.again = append(w.opener.again, slot)
		return
	default:
		w.fail(&w.counts.ConnectFailed, 1, "%s: channel %d: %v", g.Name, s.channel, err)
	}
	if g.Churn {
		w.churnOver(g, slot, s, err == errLeft)
		return
	}
	if state != subUp {
		w.opened(Now())
	}
	s.state = subOver
}

// drop closes a subscriber's connection.
func (w *worker) drop(slot uint32, s *subscriber) {
	if s.fd >= 0 {
		w.hangUp(slot, s)
	}
	s.fd, s.state = -1, subIdle
	delete(w.rest, slot)
}

// reader is the worker as the receiver of the responses of subscriber w.reading.
type reader worker

func (r *reader) Head(status int, head []byte) error {
	w := (*worker)(r)
	s := &w.subs[w.reading]
	if status == 503 && bytes.Contains(head, retryAfter) {
		return fmt.Errorf("%w: %.120q", errLater, head)
	}
	if want := upStatus(w.groups[s.group].Transport); status != want {
		return fmt.Errorf("%w: status %d: %.120q", errRefused, status, head)
	}
	if s.state == subWaiting {
		if err := w.join(w.reading, s); err != nil {
			return err
		}
	}
	if w.cursors != nil {
		w.cursors[w.reading] = w.codec.Position(w.cursors[w.reading], head)
	}
	return nil
}

// join sends what a subscriber has to say after the head. With nothing to say it is up.
func (w *worker) join(slot uint32, s *subscriber) error {
	w.places = w.appendPlaces(w.places[:0], w.groups[s.group], slot)
	if w.out = w.codec.Join(w.out[:0], w.places); len(w.out) > 0 {
		return w.say(slot, s)
	}
	return w.joined(slot, s)
}

// joined notes that the server has said that a subscription is up.
func (w *worker) joined(slot uint32, s *subscriber) error {
	if s.state == subWaiting {
		w.up(slot, s)
	}
	if s.fd < 0 {
		return errLeft
	}
	return nil
}

// upStatus is how a server says that a subscription is up.
func upStatus(t protocol.Transport) int {
	if t == protocol.WS {
		return 101
	}
	return 200
}

func (r *reader) Piece(body []byte) error {
	w := (*worker)(r)
	g := w.groups[w.subs[w.reading].group]
	return w.codec.Messages(g.Transport, g.Each > 1, g.Contents, body, w.onMessage)
}

// End: a poll asks for more; any other response must not end.
func (r *reader) End() error {
	w := (*worker)(r)
	s := &w.subs[w.reading]
	if w.groups[s.group].Transport != protocol.Poll {
		return errEnded
	}
	if s.Bye {
		return errors.New("the server closes a waiting poll")
	}
	if w.stage >= stageDrain && w.caughtUp(w.reading) {
		return nil // nothing more will come
	}
	return w.request(w.reading, s)
}
