package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/servertest"
)

const (
	stormNames = 12
	stormLast  = "the last one"
	// stormSeed is the seed of a storm; the environment may say another.
	stormSeed = "ICOMET_STORM_SEED"
)

// manyStorm is a storm of everything at once over connections with several channels.
type manyStorm struct {
	s      *testServer
	seen   stormLog
	failed chan error
	over   atomic.Bool  // the last messages are being published
	since  atomic.Int64 // when over became true, as time.Now().UnixNano
	heard  [3]atomic.Int64
}

// TestManyStorm: each connection gets, of each of its channels, each message once and in
// order, from where it asked on, until the channel is over for it; an EventSource that
// breaks off and comes back may get some again. It publishes, broadcasts, closes and ends
// meanwhile, and connections break.
func TestManyStorm(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv(stormSeed), 10, 64); err == nil {
		seed = n
	}
	t.Logf("%s=%d", stormSeed, seed)
	m := &manyStorm{failed: make(chan error, 1000)}
	m.seen.contents = make(map[string]string)
	m.s = startServer(t, func(c *config.Config) {
		c.Runtime.EventLoops = 3
		c.Front.ChannelBufferSize, c.Front.PollingTimeout = 100_000, 1
		c.Limits.Commands = 10_000
		c.Limits.SendBuffer = 16 << 10
	})
	var readers, writers sync.WaitGroup
	for i := range 4 * len(servertest.AllKinds) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		sub := &stormSub{m: m, r: r, kind: servertest.AllKinds[i%len(servertest.AllKinds)], chans: make(map[string]*stormPlace)}
		readers.Go(func() {
			if err := sub.run(); err != nil {
				m.failed <- fmt.Errorf("%d, %s: %w", i, sub.kind, err)
			}
		})
	}
	for i := range 4 {
		r := rand.New(rand.NewPCG(seed, uint64(1000+i)))
		writers.Go(func() {
			if err := m.write(r, i); err != nil {
				m.failed <- err
			}
		})
	}
	writers.Wait()
	for i := range stormNames { // one that has ended cannot have a last message
		if status, _ := m.s.request("GET", m.s.admin, "/push?cname="+stormName(i)+"&content=x"); status == 409 {
			m.s.call("/close?cname=" + stormName(i))
		}
	}
	m.since.Store(time.Now().UnixNano())
	m.over.Store(true)
	for i := range stormNames {
		m.s.call("/push?cname=" + stormName(i) + "&content=" + strings.ReplaceAll(stormLast, " ", "+"))
	}
	readers.Wait()
	close(m.failed)
	for err := range m.failed {
		t.Error(err)
	}
	t.Logf("%d messages, %d connections, %d ends of a channel", m.heard[0].Load(), m.heard[1].Load(), m.heard[2].Load())
	checkFor(t, patience, m.s.checkIdle)
}

func stormName(i int) string { return fmt.Sprint("c", i) }

// write does random things for a while.
func (m *manyStorm) write(r *rand.Rand, who int) error {
	p, err := servertest.OpenPublisher(m.s.admin)
	if err != nil {
		return err
	}
	defer p.Close()
	for i := range 400 {
		name := stormName(r.IntN(stormNames))
		var paths []string
		switch n := r.IntN(100); {
		case n < 2:
			paths = []string{fmt.Sprintf("/broadcast?content=all-%d-%d", who, i)}
		case n < 4:
			paths = []string{"/push?cname=" + name + "&content=there", "/close?cname=" + name}
		case n < 5:
			paths = []string{"/close?cname=" + name, "/end?cname=" + name + "&content=end"}
		default:
			for k := range 1 + r.IntN(6) {
				paths = append(paths, fmt.Sprintf("/push?cname=%s&content=%d-%d-%d-%s", name, who, i, k, strings.Repeat("x", r.IntN(300))))
			}
		}
		for _, path := range paths { // 404: another has closed it, 409: another has ended it
			if _, err := fmt.Fprintf(p, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path); err != nil {
				return err
			}
		}
		for _, path := range paths {
			if status, body, err := p.Answer(); err != nil || status != 200 && status != 404 && status != 409 {
				return fmt.Errorf("%s: %d %s %w", path, status, body, err)
			}
		}
	}
	return nil
}

// stormPlace is where a subscriber is in a channel.
type stormPlace struct {
	next   int64
	epoch  string // poll, ws
	state  string // ws: "", asked, on, leaving, gone; others: on, over
	last   bool   // it has had the last message
	may    bool   // sse: messages before next may come again
	before map[int64]string
}

func (p *stormPlace) reset(next int64, epoch string) {
	p.next, p.epoch, p.last, p.before = next, epoch, false, make(map[int64]string)
}

type stormSub struct {
	m     *manyStorm
	r     *rand.Rand
	kind  string
	f     *servertest.Subscriber
	names []string // in the order of the query
	chans map[string]*stormPlace
	query string
}

var errStormOver = errors.New("over")

// run goes on until the last message of each channel has come.
func (u *stormSub) run() error {
	id := ""
	for {
		if id == "" && u.kind != "ws" && !u.polls() {
			u.pick(1 + u.r.IntN(6))
		}
		last, err := u.connect(id)
		switch {
		case err == errStormOver:
			return nil
		case err != nil:
			return err
		}
		if id = last; u.kind != "sse" {
			id = ""
		}
	}
}

func (u *stormSub) polls() bool { return u.kind == "poll" || u.kind == "sub" }

// pick asks for n other channels, from the first message on.
func (u *stormSub) pick(n int) {
	u.names, u.chans = nil, make(map[string]*stormPlace)
	for _, i := range u.r.Perm(stormNames)[:n] {
		u.add(stormName(i))
	}
	u.write()
}

func (u *stormSub) add(name string) {
	p := &stormPlace{state: "on"}
	p.reset(1, "")
	u.chans[name] = p
	u.names = append(u.names, name)
}

// write makes the query of the channels.
func (u *stormSub) write() {
	var b strings.Builder
	for _, name := range u.names {
		fmt.Fprintf(&b, "&cname=%s&seq=%d", name, u.chans[name].next)
		if u.polls() || u.kind == "ws" {
			fmt.Fprintf(&b, "&epoch=%s", u.chans[name].epoch)
		}
	}
	u.query = "noop=0" + b.String()
}

// connect reads until the connection ends, and returns the last event id if it is to be
// used. It hangs up now and then.
// waits is the error of who waits for ever.
// done reports that each channel that is not over has brought its last message.
// take judges a message.
// begin asks a WebSocket's URL for some of its channels, from where it is in them.
// command subscribes or unsubscribes.
