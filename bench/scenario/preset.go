//go:build linux

package scenario

import (
	"fmt"
	"time"

	"icomet/bench/protocol"
)

// Options are what a user can choose; the fields mean what they mean in Group and
// Scenario. A zero value (for Slow a negative one) is replaced by the named scenario's.
type Options struct {
	Subscribers int
	Channels    int
	Each        int
	Publishers  int
	Depth       int
	AnswersOnly bool
	Rate        float64
	Size        int
	Transport   protocol.Transport
	Slow        float64 // share of the subscribers, 0 to 1
	Broadcasts  int
	Probe       float64

	Procs       int
	Concurrency int
	Settle      time.Duration
	Hold        time.Duration
	Warmup      time.Duration
	Duration    time.Duration
	Drain       time.Duration
	Timeout     time.Duration
}

// Names of the scenarios, in the order in which they are explained.
var Names = []string{"idle", "fanout", "unicast", "publish", "poll", "churn", "slow", "multi", "mixed"}

// Preset returns the named scenario with its usual values, or the user's in their place.
// The error says that the name is unknown or which bound is broken.
func Preset(name string, o Options) (Scenario, error) {
	s := Scenario{Name: name, Procs: max(o.Procs, 1), Concurrency: max(o.Concurrency, 256), Settle: o.Settle, Hold: o.Hold,
		Warmup: o.Warmup, Duration: o.Duration, Drain: o.Drain, Timeout: o.Timeout, Probe: o.Probe}
	g := Group{Name: name, Transport: o.Transport, Rate: o.Rate, AnswersOnly: o.AnswersOnly, Publishers: 1, Depth: 1, Size: 100, Channels: 1}
	switch name {
	case "idle":
		g.Subscribers, g.Channels, g.Publishers = 1000, or(o.Subscribers, 1000), 0
		if o.Broadcasts > 0 {
			g.Publishers, g.Broadcasts = 1, o.Broadcasts
			s.Warmup = 0 // every one of them counts
		}
	case "fanout":
		g.Subscribers = 1000
	case "unicast":
		g.Subscribers, g.Channels, g.Publishers = 5000, or(o.Subscribers, 5000), 32
	case "publish":
		g.Channels, g.Publishers = or(o.Publishers, 32), 32
	case "poll":
		g.Subscribers, g.Transport = 2000, protocol.Poll
	case "churn":
		g.Subscribers, g.Publishers, g.Depth, g.Churn = 100, 8, 16, true
		g.Channels = or(o.Subscribers, 100)
	case "slow":
		g.Subscribers, g.Size = 1000, slowSize
	case "multi":
		g.Subscribers, g.Channels, g.Publishers, g.Each = 1000, 5000, 32, 50
	case "mixed":
		s.Groups = mixed(o)
		return s, s.Validate()
	default:
		return s, fmt.Errorf("scenario %q: want one of %v", name, Names)
	}
	g.Subscribers, g.Channels, g.Each = or(o.Subscribers, g.Subscribers), or(o.Channels, g.Channels), or(o.Each, g.Each)
	g.Publishers, g.Depth, g.Size = or(o.Publishers, g.Publishers), or(o.Depth, g.Depth), or(o.Size, g.Size)
	if name == "publish" {
		g.Subscribers = 0
	}
	if name == "slow" {
		if o.Slow < 0 {
			o.Slow = 0.1
		}
		g.Slow = int(o.Slow * float64(g.Subscribers))
	}
	s.Groups = []Group{g}
	return s, s.Validate()
}

// slowSize is large: the kernel holds up to 4 MiB for a reader that stopped
// before the server sees anything of it.
const slowSize = 16 << 10

// mixed is for soaking: everything at once, open loop, in proportions. The
// rate is that of all messages and connections together.
func mixed(o Options) []Group {
	n, size := or(o.Subscribers, 2000), or(o.Size, 100)
	rate := o.Rate
	if rate == 0 {
		rate = 1000
	}
	part := func(share float64) int { return max(1, int(share*float64(n))) }
	one := func(name string, t protocol.Transport, share, rateShare float64) Group {
		return Group{Name: name, Subscribers: part(share), Channels: 1, Transport: t, Publishers: 1, Depth: 64, Rate: rate * rateShare, Size: size}
	}
	unicast := one("unicast", protocol.Stream, 0.40, 0.80)
	unicast.Channels = unicast.Subscribers
	unicast.Publishers = min(16, unicast.Channels)
	churn := one("churn", protocol.SSE, 0.05, 0.10)
	churn.Channels, churn.Churn = churn.Subscribers, true
	churn.Publishers = min(4, churn.Channels)
	slow := one("slow", protocol.Stream, 0.05, 0.01)
	slow.Size = max(size, slowSize)
	if o.Slow < 0 {
		o.Slow = 0.5
	}
	slow.Slow = int(o.Slow * float64(slow.Subscribers))
	return []Group{one("fanout stream", protocol.Stream, 0.20, 0.02), one("fanout sse", protocol.SSE, 0.10, 0.02), one("fanout iframe", protocol.Iframe, 0.05, 0.02),
		one("poll", protocol.Poll, 0.15, 0.005), unicast, churn, slow}
}

func or(chosen, usual int) int {
	if chosen != 0 {
		return chosen
	}
	return usual
}
