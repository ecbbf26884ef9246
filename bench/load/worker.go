//go:build linux

package load

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"icomet/bench/procstat"
	"icomet/bench/protocol"
	"icomet/bench/scenario"
	"icomet/bench/tally"
)

// groupState is a group as one worker sees it.
type groupState struct {
	scenario.Group
	protocol.Contents
	id        uint8
	base      uint32 // number of its first channel
	broadcast uint32 // number of the channel that stands for all (Broadcasts > 0)
	first     int    // its first subscriber's slot
	seats     uint32 // its first seat
	mine      int    // subscribers here
	pubs      []*publisher
	schedule  schedule
	free      []uint32 // churn: slots without a connection
	began     []int64  // churn: when a slot's cycle began, or was meant to
	due       uint64   // churn, open loop: cycles whose time has come
	started   uint64   // of them, those begun
}

// Stages of a worker, in their order.
const (
	stageOpening = iota
	stageReady
	stageArmed // the time to start is known
	stageWarm
	stageMeasured
	stageDrain
	stageOver
)

// worker drives its share of the connections. Everything belongs to the thread that calls
// run, which ends it.
type worker struct {
	Job
	codec       protocol.Codec
	fronts      []netip.AddrPort // by node
	admins      []netip.AddrPort
	commands    <-chan Command
	events      chan<- Event
	epoll       int
	timer       int32
	buf         []byte // shared by all reads
	out         []byte // scratch for requests
	groups      []*groupState
	subs        []subscriber     // by slot
	secure      *secureLayer     // nil: their connections are plain TCP
	next        []uint32         // by seat: the seq that must come next
	places      []protocol.Place // scratch for requests
	rest        map[uint32][]byte
	cursors     [][]byte // by slot; only for dialects that need them
	channels    []channelState
	pubs        []*publisher
	ready       []*publisher // those that may have something to send
	refused     []*publisher // those that have to send something again
	peers       *peers
	counts      tally.Counts
	checker     tally.Checker
	failure     string // the first
	stage       int
	opener      opener
	from, until int64 // the counted time
	startAt     int64 // of the warm-up
	lastMove    int64 // when a message last came or was answered
	owed        int64 // deliveries that subscribers here wait for
	finals      int   // channels of other workers whose total is not known yet
	lastTold    int64
	churnAgain  []*groupState
	reading     uint32 // the slot whose bytes are being parsed
	readAt      int64  // when they came
	answers     answers
	onMessage   func(protocol.Message) error
	atStart     tally.Counts
	measured    tally.Counts
	cpuAtStart  float64
	cpu         float64
	latency     *hdrhistogram.Histogram
	answer      *hdrhistogram.Histogram
	cycle       *hdrhistogram.Histogram
	dialled     uint32 // connections begun, for source addresses
	concurrency int
}

// channelState follows one channel's messages from publisher to subscribers. The home of a
// channel is the worker that publishes to it.
type channelState struct {
	published uint32
	need      uint32 // subscribers here that read
	got       uint32 // of them, those that have the message in flight
	ahead     uint32 // remote: messages settled before the total was known
	parts     uint16 // workers with subscribers; at home only
	done      uint16 // of them, those whose subscribers all have the message in flight
	remote    bool   // published to by another worker
	final     bool   // published will not change any more
}

func newWorker(j Job, commands <-chan Command, events chan<- Event, p *peers) (*worker, error) {
	w := &worker{Job: j, commands: commands, events: events, peers: p, timer: -1,
		buf: make([]byte, 256<<10), rest: map[uint32][]byte{}, codec: protocol.NewCodec(j.Dialect, j.Prefix),
		latency: tally.NewHistogram(), answer: tally.NewHistogram(), cycle: tally.NewHistogram(),
		concurrency: max(1, j.Scenario.Concurrency/j.Scenario.Procs)}
	w.onMessage = w.message
	w.checker = tally.NewChecker(&w.counts)
	var err error
	if w.fronts, err = addressesOf(j.Fronts); err != nil {
		return nil, fmt.Errorf("front: %w", err)
	}
	if w.admins, err = addressesOf(j.Admins); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	w.lay()
	if j.TLS != nil {
		if w.secure, err = newSecureLayer(j.TLS, w.fronts, len(w.subs)); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
	}
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	w.timer = int32(timer)
	if err = w.watch(unix.EPOLL_CTL_ADD, w.timer, unix.EPOLLIN, 0, tag(roleTimer, 0)); err == nil && p != nil {
		err = w.watch(unix.EPOLL_CTL_ADD, int32(p.in), unix.EPOLLIN, 0, tag(rolePeer, 0))
	}
	if err == nil && w.secure != nil {
		err = w.watch(unix.EPOLL_CTL_ADD, w.secure.wake, unix.EPOLLIN, 0, tag(roleSecured, 0))
	}
	return w, err
}

// run is the worker's life; the last event it sends is its result.
func (w *worker) run() {
	runtime.LockOSThread()
	defer w.close()
	if err := w.loop(); err != nil {
		w.events <- Event{Worker: w.Index, Error: err.Error()}
		return
	}
	sheet, err := w.sheet()
	if err != nil {
		w.events <- Event{Worker: w.Index, Error: err.Error()}
		return
	}
	w.events <- Event{Worker: w.Index, Result: sheet}
}

func (w *worker) loop() error {
	w.opener.begin(Now())
	events := make([]unix.EpollEvent, 512)
	for w.stage != stageOver {
		select {
		case c, ok := <-w.commands:
			if !ok {
				return errors.New("the coordinator has gone")
			}
			w.obey(c)
		default:
		}
		if err := w.step(Now()); err != nil {
			return err
		}
		n, err := unix.EpollWait(w.epoll, events, 10)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			w.dispatch(e)
		}
		for len(w.ready) > 0 {
			p := w.ready[len(w.ready)-1]
			w.ready = w.ready[:len(w.ready)-1]
			p.ready = false
			w.flush(p)
		}
		w.refused = w.askAgain(w.refused, Now())
		w.again()
		if w.peers != nil {
			w.peers.flush()
		}
	}
	return nil
}

func (w *worker) dispatch(e unix.EpollEvent) {
	slot, generation := uint32(e.Fd), uint16(e.Pad)
	switch uint8(e.Pad >> 16) {
	case roleSubscriber:
		if s := &w.subs[slot]; s.fd >= 0 && s.generation == generation {
			w.subscriberEvent(slot, s, e.Events)
		}
	case rolePublisher:
		if p := w.pubs[slot]; p.fd >= 0 {
			w.publisherEvent(p, e.Events)
		}
	case roleTimer:
		var expirations [8]byte
		_, _ = unix.Read(int(w.timer), expirations[:]) // only to make it unreadable again
		w.pace(Now())
	case rolePeer:
		w.peers.read(w.peerRecord)
	case roleSecured:
		w.secured()
	}
}

func (w *worker) obey(c Command) {
	switch {
	case c.Stop && w.stage < stageDrain:
		w.until = min(w.until, Now())
		if w.stage < stageWarm {
			w.stage = stageOver
		}
	case c.Start != 0:
		w.stage = stageArmed
		w.startAt = c.Start
		w.from = c.Start + int64(w.Scenario.Warmup)
		w.until = w.from + int64(w.Scenario.Duration)
		w.lastMove = c.Start
	}
}

// step moves the worker from stage to stage.
func (w *worker) step(t int64) error {
	if t-w.lastTold > int64(200*time.Millisecond) {
		w.lastTold = t
		counts := w.counts
		w.events <- Event{Worker: w.Index, Progress: &counts}
	}
	if w.stage == stageArmed && t >= w.startAt {
		w.stage = stageWarm
		w.begin(w.startAt)
	}
	switch w.stage {
	case stageOpening:
		if up, err := w.open(t); err != nil {
			return err
		} else if up {
			w.stage = stageReady
			w.events <- Event{Worker: w.Index, Up: true}
		}
	case stageWarm:
		if t >= w.from {
			w.stage = stageMeasured
			w.atStart, w.cpuAtStart = w.counts, procstat.SelfCPU()
			w.latency.Reset()
			w.answer.Reset()
			w.cycle.Reset()
		}
	case stageMeasured:
		if t >= w.until || w.published() || w.stalled(t) {
			w.finish(t)
		}
	case stageDrain:
		if w.settled() || t-w.lastMove > int64(w.Scenario.Drain) {
			w.stage = stageOver
		}
	}
	return nil
}

// finish ends the counted time: nothing more is published, and what is in flight is waited
// for.
func (w *worker) finish(t int64) {
	w.stage = stageDrain
	w.until = t
	w.measured = w.counts.Since(w.atStart)
	w.cpu = procstat.SelfCPU() - w.cpuAtStart
	w.lastMove = t
	w.tellFinals()
	w.resume()
	w.events <- Event{Worker: w.Index, Finished: true}
}

// stalled reports that nothing that is owed has come for Drain: a closed loop would wait
// for ever.
func (w *worker) stalled(t int64) bool {
	return t-w.lastMove > int64(w.Scenario.Drain) && !w.quiet()
}

// settled reports that all messages have arrived and all requests were answered.
func (w *worker) settled() bool { return w.finals == 0 && w.quiet() }

// quiet reports that nothing that this worker knows of is on its way.
func (w *worker) quiet() bool {
	if w.owed > 0 {
		return false
	}
	for _, p := range w.pubs {
		if p.unanswered() > 0 {
			return false
		}
	}
	for _, g := range w.groups {
		if g.Churn && len(g.free) < g.mine || g.Slow > 0 && w.stage == stageDrain && !w.resumed(g) {
			return false
		}
	}
	return true
}

// resumed reports that the slow readers have read everything, or were cut off.
func (w *worker) resumed(g *groupState) bool {
	for slot := g.first; slot < g.first+g.mine; slot++ {
		if s := &w.subs[slot]; s.slow && s.state == subUp && w.channels[s.channel].final && !w.caughtUp(uint32(slot)) {
			return false
		}
	}
	return true
}

// fail counts something that must not happen and keeps the first reason.
func (w *worker) fail(counter *int64, n int, format string, a ...any) {
	*counter += int64(n)
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, a...)
	}
}
