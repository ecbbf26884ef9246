package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icomet/channel"
	"icomet/channel/redis/redistest"
)

// TestBurstsBesidePollers: bursts that are longer than the history, and clients that ask
// for more than there is, make Redis answer about a moment that has passed. Nobody who
// stays misses a message.
func TestBurstsBesidePollers(t *testing.T) {
	t.Parallel()
	_, nodes := startNodes(t, 2, testLimits)
	readers := startReaders(nodes, []string{"c"})
	var acked []string
	for burst := range 60 {
		done := make(chan channel.Result, 20)
		for i := range cap(done) {
			acked = append(acked, fmt.Sprintf("%d.%d", burst, i))
			nodes[0].Publish(&channel.Publication{Name: []byte("c"), Content: acked[len(acked)-1]}, doneFunc(func(r channel.Result) { done <- r }))
		}
		if burst%7 == 0 {
			result(t, func(d channel.Done) { nodes[1].Clear([]byte("c"), d) })
		}
		for range cap(done) {
			for _, n := range nodes {
				j, err := n.tryJoin(channel.Join{Name: []byte("c"), Since: 99999999, OneShot: true})
				if err != nil || j.Subscribed {
					t.Fatalf("a poll: %+v %v", j, err)
				}
			}
			if r := <-done; r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	for _, r := range readers {
		checkFor(t, patience, func() error { return r.has(acked) })
	}
	wantNotMoved(t, readers)
}

// TestDeadNodeOverALongWay: Redis is 24 ms away for all. One node dies; the others take
// its subscribers off, and keep their own.
func TestDeadNodeOverALongWay(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := startProxy(t, s.Addr())
	p.delay.Store(int64(12 * time.Millisecond))
	o := testOptions(p.addr())
	o.NodeTimeout = 3 * time.Second
	limits := testLimits
	limits.Timeout = 2 * time.Second
	var nodes []*testNode
	for range 3 {
		nodes = append(nodes, startNode(t, o, limits))
	}
	readers := startReaders(nodes[:2], channelNames(20))
	dead := startNode(t, o, limits)
	for _, name := range channelNames(200) {
		dead.join(name, 0)
	}
	subscribers := func(name string, want int) error {
		if r := nodes[0].info(name); r.Subscribers != want {
			return fmt.Errorf("%s has %d subscribers, want %d", name, r.Subscribers, want)
		}
		return nil
	}
	checkFor(t, patience, func() error { return subscribers("c0", 3) })
	dead.die()
	for _, name := range channelNames(20) {
		checkFor(t, patience, func() error { return subscribers(name, 2) })
	}
	for _, name := range channelNames(20) {
		if seq := nodes[2].mustPublish(name, "x"); seq != 1 {
			t.Errorf("%s has begun anew: seq %d", name, seq)
		}
	}
	for _, r := range readers {
		checkFor(t, patience, func() error { return r.has([]string{"x"}) })
	}
	wantNotMoved(t, readers)
}

// TestScriptsForgotten: somebody empties Redis's memory of scripts, again and again. No
// publish is refused, and none is carried out twice.
func TestScriptsForgotten(t *testing.T) {
	t.Parallel()
	s, nodes := startNodes(t, 2, deep())
	l := underLoad(t, nodes, 25, 100, func() { s.CLI("script", "flush") })
	if l.refused > 0 {
		t.Errorf("%d publishes were refused", l.refused)
	}
}

// TestStopWhileRedisHangs: broadcasts wait, and Redis hangs. All are answered, and the
// node stops, within a few times the timeout of one call.
func TestStopWhileRedisHangs(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	n := startNode(t, hasty(testOptions(s.Addr())), testLimits)
	n.mustPublish("c", "x")
	s.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { s.Signal(syscall.SIGCONT) })
	answers := make(chan error, 20)
	for range cap(answers) {
		n.Broadcast("b", "", doneFunc(func(r channel.Result) { answers <- r.Err }))
	}
	began := time.Now()
	n.Stop()
	if took := time.Since(began); took > 5*time.Second+lateness {
		t.Errorf("it stops in %v", took)
	}
	for range cap(answers) {
		select {
		case err := <-answers:
			if err == nil {
				t.Error("a broadcast was acknowledged")
			}
		default:
			t.Fatal("a broadcast has no answer")
		}
	}
}

// TestMasterBecomesReplica: behind one address there is first the master, then the other
// server, while the first lives on as its replica. The node finds the new master itself.
func TestMasterBecomesReplica(t *testing.T) {
	t.Parallel()
	first, second := redistest.Start(t), redistest.Start(t)
	p := startProxy(t, first.Addr())
	n := startNode(t, hasty(testOptions(p.addr())), deep())
	r := newReader(n, "c")
	n.mustPublish("c", "1")
	host, port, _ := net.SplitHostPort(second.Addr())
	first.CLI("replicaof", host, port)
	checkFor(t, patience, func() error {
		if err := n.Ready(); err == nil || !strings.Contains(err.Error(), "READONLY") {
			return fmt.Errorf("ready: %v", err)
		}
		return nil
	})
	to := second.Addr()
	p.to.Store(&to)
	checkFor(t, patience, func() error { return n.publishTo("c", "2").Err })
	checkFor(t, patience, n.Ready)
	checkFor(t, patience, func() error { return r.has([]string{"1", "2"}) })
}

// TestWritesRefused: Redis lacks replicas, or cannot save. The node says so, keeps its
// connections and its subscribers, and goes on when Redis does.
func TestWritesRefused(t *testing.T) {
	t.Parallel()
	for code, set := range map[string][]string{
		"NOREPLICAS": {"min-replicas-to-write", "1", "0"},
		"OOM":        {"maxmemory", "1", "0"},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			n := startNode(t, hasty(testOptions(s.Addr())), deep())
			r := newReader(n, "c")
			s.CLI("config", "set", set[0], set[1])
			checkFor(t, patience, func() error {
				if res := n.publishTo("c", "refused"); !errors.Is(res.Err, channel.ErrUnavailable) {
					return fmt.Errorf("a publish: %v", res.Err)
				}
				if err := n.Ready(); err == nil || !strings.Contains(err.Error(), code) {
					return fmt.Errorf("ready: %v", err)
				}
				return nil
			})
			s.CLI("config", "set", set[0], set[2])
			checkFor(t, patience, func() error { return n.publishTo("c", "again").Err })
			checkFor(t, patience, n.Ready)
			checkFor(t, patience, func() error { return r.has([]string{"again"}) })
			if k := n.stats.reconnects.Load(); k > 0 {
				t.Errorf("its pub/sub connection was made anew %d times", k)
			}
			if res := n.publishTo("c", "x"); r.moved > 0 || res.Err != nil {
				t.Errorf("moved %d times, %v", r.moved, res.Err)
			}
		})
	}
}

// countLog counts the lines of a log.
type countLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *countLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *countLog) count() int { return strings.Count(l.text(), "\n") }

func (l *countLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// TestRightsTakenAway: while the node runs, its user may no longer use pub/sub, or the
// master under it becomes a replica for good. It says so in the log, once, and by Ready.
func TestRightsTakenAway(t *testing.T) {
	t.Parallel()
	for code, change := range map[string][]string{
		"NOPERM":   {"acl", "setuser", "default", "resetchannels", "&other"},
		"READONLY": {"replicaof", "127.0.0.1", "1"},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			log := new(countLog)
			o := hasty(testOptions(s.Addr()))
			o.Logger = slog.New(slog.NewTextHandler(log, nil))
			n := startNode(t, o, deep())
			newReader(n, "c")
			s.CLI(change...)
			checkFor(t, patience, func() error {
				_, _ = n.tryJoin(channel.Join{Name: []byte("other"), Since: 1})
				if err := n.Ready(); err == nil || !strings.Contains(err.Error(), code) {
					return fmt.Errorf("ready: %v", err)
				}
				return nil
			})
			end := time.Now().Add(6 * time.Second)
			checkFor(t, patience, func() error {
				_ = n.publishTo("c", "refused")
				_, _ = n.tryJoin(channel.Join{Name: []byte("other"), Since: 1})
				if err := n.Ready(); err == nil {
					t.Fatal("ready, though every call is refused")
				}
				if time.Now().Before(end) {
					return errors.New("not yet")
				}
				return nil
			})
			if k := log.count(); k > 6 {
				t.Errorf("%d lines in the log:\n%s", k, log.text())
			}
		})
	}
}

// TestReasonChanges: Redis first does not answer and then refuses, and Ready says which.
func TestReasonChanges(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := startProxy(t, s.Addr())
	n := startNode(t, hasty(testOptions(p.addr())), deep())
	says := func(reason string) {
		t.Helper()
		checkFor(t, patience, func() error {
			_ = n.publishTo("c", "x")
			if err := n.Ready(); err == nil || !strings.Contains(err.Error(), reason) {
				return fmt.Errorf("ready: %v, want %q", err, reason)
			}
			return nil
		})
	}
	p.deaf.Store(true)
	says("does not answer")
	s.CLI("replicaof", "127.0.0.1", "1")
	p.deaf.Store(false)
	says("READONLY")
}

// TestBrokenProtocol: what comes in the place of an answer breaks the protocol. The
// connection is given up, and the process lives.
func TestBrokenProtocol(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"$-5\r\n", "*-9\r\n", "%-2\r\n", ">-1\r\n", "$99999999999\r\n", "*4294967295\r\n", "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
		">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", ":x\r\n", "$x\r\n", "\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
	} {
		t.Run(strconv.Quote(text), func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			p := startProxy(t, s.Addr())
			n := startNode(t, hasty(testOptions(p.addr())), deep())
			r := newReader(n, "c")
			p.instead.Store(&text)
			checkFor(t, patience, func() error {
				_ = n.publishTo("other", "x")
				if p.instead.Load() != nil {
					return errors.New("nothing was put in the place of an answer")
				}
				return n.publishTo("other", "x").Err
			})
			n.mustPublish("c", "well")
			checkFor(t, patience, func() error { return r.has([]string{"well"}) })
		})
	}
}

// TestSentinelPassword: the Sentinels want a password of their own.
func TestSentinelPassword(t *testing.T) {
	t.Parallel()
	_, _, sentinel := redistest.StartSentinel(t, neverDead, "requirepass for-sentinel")
	o := sentinelOptions(sentinel)
	o.SentinelPassword = "for-sentinel"
	n := startNode(t, o, testLimits)
	n.mustPublish("c", "x")
	o.SentinelPassword = "wrong"
	o.Hub, o.Logger = channel.NewHub(testLimits), n.log
	if e, err := New(o); err == nil {
		e.Stop()
		t.Error("a wrong password was accepted")
	}
}
