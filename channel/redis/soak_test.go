package redis

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
)

// soak is three nodes that reach real servers, some over a long way.
type soak struct {
	servers []*redistest.Server
	proxies []*proxy // none: the nodes reach the servers directly
	nodes   []*testNode
	rnd     *rand.Rand
}

// soakFaults are what may happen to them without a loss of data.
var soakFaults = map[string]func(*testing.T, *soak){
	"all connections are killed": func(_ *testing.T, s *soak) {
		for _, server := range s.servers {
			server.CLI("client", "kill", "type", "normal")
			server.CLI("client", "kill", "type", "pubsub")
		}
	},
	"pub/sub is killed": func(_ *testing.T, s *soak) {
		s.servers[s.rnd.IntN(len(s.servers))].CLI("client", "kill", "type", "pubsub")
	},
	"the scripts are forgotten": func(_ *testing.T, s *soak) {
		s.servers[s.rnd.IntN(len(s.servers))].CLI("script", "flush")
	},
	"Redis hangs": func(t *testing.T, s *soak) {
		server := s.servers[s.rnd.IntN(len(s.servers))]
		server.Signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(s.rnd.IntN(2000)) * time.Millisecond) // the fault's length
		server.Signal(syscall.SIGCONT)
	},
	"the way grows longer": func(_ *testing.T, s *soak) {
		for _, p := range s.proxies {
			way := []time.Duration{0, 12 * time.Millisecond, 50 * time.Millisecond}[s.rnd.IntN(3)]
			p.delay.Store(int64(way))
		}
	},
	"a network is cut": func(_ *testing.T, s *soak) {
		if len(s.proxies) > 0 {
			s.proxies[s.rnd.IntN(len(s.proxies))].cut()
		}
	},
	"a network is half open": func(_ *testing.T, s *soak) {
		if len(s.proxies) > 0 {
			p := s.proxies[s.rnd.IntN(len(s.proxies))]
			p.half()
			time.Sleep(time.Duration(s.rnd.IntN(1500)) * time.Millisecond) // the fault's length
			p.heal()
		}
	},
}

// TestSoak lets random faults happen to a single Redis, to a Cluster and to Sentinels, for
// ICOMET_SOAK_SECONDS each (2 in other runs). In each round, every subscriber that stays
// gets every acknowledged message once and in order.
func TestSoak(t *testing.T) {
	seconds := 2
	if text := os.Getenv("ICOMET_SOAK_SECONDS"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	aof := []string{"--appendonly", "yes", "--appendfsync", "always"}
	for name, begin := range map[string]func(*testing.T) *soak{
		"single": func(t *testing.T) *soak {
			s := &soak{servers: []*redistest.Server{redistest.Start(t, aof...)}}
			for range 3 {
				p := startProxy(t, s.servers[0].Addr())
				s.proxies = append(s.proxies, p)
				s.nodes = append(s.nodes, startNode(t, hasty(testOptions(p.addr())), deep()))
			}
			return s
		},
		"cluster": func(t *testing.T) *soak {
			s := &soak{servers: redistest.StartCluster(t, 0, neverDead, aof...)}
			for range 3 {
				s.nodes = append(s.nodes, startNode(t, hasty(testOptions(redistest.Addrs(s.servers)...)), deep()))
			}
			return s
		},
		"sentinel": func(t *testing.T) *soak {
			master, _, sentinel := redistest.StartSentinel(t, neverDead)
			s := &soak{servers: []*redistest.Server{master}}
			for range 3 {
				s.nodes = append(s.nodes, startNode(t, hasty(sentinelOptions(sentinel)), deep()))
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t)
			seed := uint64(time.Now().Nanosecond())
			t.Logf("seed %d", seed)
			s.rnd = rand.New(rand.NewPCG(seed, 1))
			rounds, acked := 0, 0
			for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end) && !t.Failed(); rounds++ {
				acked += s.round(t)
			}
			t.Logf("%d rounds, %d messages acknowledged", rounds, acked)
		})
	}
}

// round is some seconds of load and faults, and then the check.
func (s *soak) round(t *testing.T) (acked int) {
	t.Helper()
	names := channelNames(10)
	for i := range names {
		names[i] = fmt.Sprint(names[i], "-", s.rnd.Uint32()) // nothing of another round comes late
	}
	readers := startReaders(s.nodes, names)
	l := startLoad(t, s.nodes, names)
	var kinds []string
	for kind := range soakFaults {
		kinds = append(kinds, kind)
	}
	for range 3 {
		l.more(t, 20)
		kind := kinds[s.rnd.IntN(len(kinds))]
		t.Log(kind)
		soakFaults[kind](t, s)
	}
	l.more(t, 20)
	l.end()
	l.checkAll(t, readers)
	wantNotMoved(t, readers)
	for _, r := range readers {
		r.n.hub.Leave(r.ch, 0, true)
	}
	acked, _ = l.count()
	return acked
}
