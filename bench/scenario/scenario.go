//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"icomet/bench/protocol"
)

// Limits of a run: one that is started by mistake must end by itself.
const (
	MaxSubscribers = 2_000_000
	MaxPublishers  = 10_000
	MaxDepth       = 4096
	MaxProcs       = 256
	MaxEach        = 100 // the server's default limit
	MaxDuration    = 24 * time.Hour
)

// Group is a set of subscribers and publishers that do the same thing. A
// scenario has one; a mixed one has several, which run at the same time.
//
// Subscriber i listens on channel i % Channels, and with Each above 1 on as many that are
// spread over all (package load says which). Publisher p serves the
// channels that are p modulo Publishers, in turn, so each channel's messages
// come from one connection, in order.
type Group struct {
	Name        string
	Subscribers int
	Channels    int
	Each        int // channels of each connection; 0 is 1
	Transport   protocol.Transport
	Slow        int  // of the subscribers: stop reading once subscribed
	Churn       bool // each subscriber connects, gets one message, leaves, and comes again
	Publishers  int
	Depth       int     // closed loop: messages in flight of one publisher
	AnswersOnly bool    // closed loop: the publisher goes on after the answer, delivered or not
	Rate        float64 // open loop: messages (churn: connections) a second; 0 is closed loop
	Size        int     // bytes of content
	Broadcasts  int     // instead of publishing: broadcast so often to all channels
}

// Scenario is what a run does. It crosses a process boundary as JSON.
type Scenario struct {
	Name   string
	Groups []Group

	Procs       int           // worker processes; 1 is in the coordinator's own
	Concurrency int           // connections being opened at a time, over all workers
	Settle      time.Duration // between the last connect and the idle figures
	Hold        time.Duration // idle time over which CPU is measured
	Warmup      time.Duration // published to, not counted
	Duration    time.Duration // counted
	Drain       time.Duration // at the end: after so long without a delivery, what is missing is lost
	Timeout     time.Duration // of connecting, without progress
	Probe       float64       // messages a second on a channel of its own, from a process of its own
}

// Single returns the same connections with one channel each, which nothing is published to.
func (s Scenario) Single() Scenario {
	s.Groups = append([]Group(nil), s.Groups...)
	for i := range s.Groups {
		s.Groups[i].Each, s.Groups[i].Publishers, s.Groups[i].Broadcasts = 1, 0, 0
	}
	s.Hold, s.Probe = 0, 0
	return s
}

// Validate returns an error that says which bound a scenario breaks, nil when it keeps all:
// those above, those of a content's size, and the process's limit of open files.
func (s *Scenario) Validate() error {
	if len(s.Groups) == 0 {
		return errors.New("no group")
	}
	for i := range s.Groups {
		if err := s.Groups[i].validate(); err != nil {
			return fmt.Errorf("%s: %w", s.Groups[i].Name, err)
		}
	}
	switch {
	case s.Procs < 1 || s.Procs > MaxProcs:
		return fmt.Errorf("procs %d: want 1 to %d", s.Procs, MaxProcs)
	case s.Concurrency < s.Procs:
		return fmt.Errorf("concurrency %d: want at least one for each of the %d procs", s.Concurrency, s.Procs)
	case s.Duration < 0 || s.Duration+s.Hold+s.Settle+s.Warmup > MaxDuration:
		return fmt.Errorf("a run longer than %s", MaxDuration)
	}
	return s.validateDescriptors()
}

func (g *Group) validate() error {
	switch {
	case g.Subscribers < 0 || g.Subscribers > MaxSubscribers:
		return fmt.Errorf("%d subscribers: want 0 to %d", g.Subscribers, MaxSubscribers)
	case g.Channels < 1 || g.Channels > MaxSubscribers:
		return fmt.Errorf("%d channels: want 1 to %d", g.Channels, MaxSubscribers)
	case g.Publishers < 0 || g.Publishers > MaxPublishers:
		return fmt.Errorf("%d publishers: want 0 to %d", g.Publishers, MaxPublishers)
	case g.Publishers > g.Channels:
		return fmt.Errorf("%d publishers for %d channels: a channel has one publisher", g.Publishers, g.Channels)
	case g.Publishers > 0 && (g.Depth < 1 || g.Depth > MaxDepth):
		return fmt.Errorf("depth %d: want 1 to %d", g.Depth, MaxDepth)
	case g.Size < protocol.MinSize || g.Size > protocol.MaxSize:
		return fmt.Errorf("size %d: want %d to %d bytes", g.Size, protocol.MinSize, protocol.MaxSize)
	case g.AnswersOnly && (g.Churn || g.Broadcasts > 0 || g.Rate > 0 || g.Transport == protocol.Poll):
		return errors.New("answers only: for a closed loop of publishes to open responses")
	case g.Rate < 0 || g.Rate > 1e7:
		return fmt.Errorf("rate %g: want 0 (closed loop) to 10,000,000 a second", g.Rate)
	case g.Slow > g.Subscribers:
		return fmt.Errorf("%d slow of %d subscribers", g.Slow, g.Subscribers)
	case g.Each < 0 || g.Each > MaxEach || g.Each > 1 && g.Channels%g.Each != 0:
		return fmt.Errorf("%d channels for each connection: want 1 to %d, and the %d channels a multiple of it", g.Each, MaxEach, g.Channels)
	case g.Each > 1 && (g.Transport == protocol.Poll || g.Churn || g.Slow > 0):
		return errors.New("several channels for each connection want a transport that stays open, no churn and no slow readers")
	case g.Churn && (g.Transport == protocol.Poll || g.Publishers < 1 || g.Channels != g.Subscribers):
		return errors.New("churn wants publishers, a channel for each subscriber, and not polls: " +
			"nothing tells when a poll waits")
	}
	return nil
}

// reserve is how many open files a worker process needs besides its connections.
const reserve = 64

func (s *Scenario) validateDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	need := 0
	for _, g := range s.Groups {
		need += (g.Subscribers+s.Procs-1)/s.Procs + g.Publishers
	}
	if uint64(need+reserve) > limit.Cur {
		return fmt.Errorf("%d connections a process need more than the %d open files that are allowed: raise the limit or use more -procs", need, limit.Cur)
	}
	return nil
}

// CheckLoopback reads an address and refuses one that is not in 127.0.0.0/8 or has port 0:
// load goes to this machine only.
func CheckLoopback(address string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return ap, fmt.Errorf("address %q: want 127.x.y.z:port", address)
	}
	if !ap.Addr().Is4() || !ap.Addr().IsLoopback() {
		return ap, fmt.Errorf("address %s: load goes to 127.0.0.0/8 only", address)
	}
	if ap.Port() == 0 {
		return ap, fmt.Errorf("address %s: port 0", address)
	}
	return ap, nil
}
