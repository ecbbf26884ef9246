package redis

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a node and Redis and behaves like a bad network.
type proxy struct {
	listener net.Listener
	to       atomic.Pointer[string]
	delay    atomic.Int64           // ns, of each piece, both ways
	script   atomic.Int64           // ns, for each script call, like a busy Redis
	deaf     atomic.Bool            // Redis's answers are thrown away
	instead  atomic.Pointer[string] // sent once in the place of Redis's next answer
	dead     atomic.Bool            // for new connections too: open, but nothing passes

	mu    sync.Mutex
	conns map[net.Conn]*atomic.Bool // true: everything it carries is thrown away
	ended sync.WaitGroup
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, conns: make(map[net.Conn]*atomic.Bool)}
	p.to.Store(&to)
	p.ended.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.ended.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", *p.to.Load())
		if err != nil {
			client.Close()
			continue
		}
		lost := new(atomic.Bool)
		lost.Store(p.dead.Load())
		p.mu.Lock()
		p.conns[client], p.conns[server] = lost, lost
		p.mu.Unlock()
		p.ended.Go(func() { p.pipe(client, server, nil, lost) })
		p.ended.Go(func() { p.pipe(server, client, &p.instead, lost, &p.deaf) })
	}
}

func (p *proxy) pipe(from, to net.Conn, instead *atomic.Pointer[string], lost ...*atomic.Bool) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		scripts := int64(bytes.Count(b[:n], []byte("EVALSHA")))
		if d := time.Duration(p.delay.Load() + scripts*p.script.Load()); d > 0 {
			time.Sleep(d) // the network's delay, not a wait for something
		}
		if instead != nil {
			if text := instead.Swap(nil); text != nil {
				n = copy(b, *text)
			}
		}
		if !slices.ContainsFunc(lost, (*atomic.Bool).Load) {
			if _, werr := to.Write(b[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
		delete(p.conns, c)
	}
}

// half leaves the connections open, but nothing passes any more. New ones work after
// heal.
func (p *proxy) half() {
	p.dead.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, lost := range p.conns {
		lost.Store(true)
	}
}

func (p *proxy) heal() { p.dead.Store(false) }

// startProxied connects two nodes, the first through a proxy and with the options.
func startProxied(t *testing.T, o Options) (*proxy, []*testNode, []string, []*reader) {
	t.Helper()
	s, nodes := startNodes(t, 1, deep())
	p := startProxy(t, s.Addr())
	o.Addresses = []string{p.addr()}
	nodes = append([]*testNode{startNode(t, o, deep())}, nodes...)
	names := channelNames(10)
	return p, nodes, names, startReaders(nodes, names)
}

// TestNetworkCuts: a node's connections break again and again.
func TestNetworkCuts(t *testing.T) {
	t.Parallel()
	p, nodes, names, readers := startProxied(t, testOptions())
	l := startLoad(t, nodes, names)
	for range 10 {
		l.more(t, 100)
		p.cut()
	}
	l.more(t, 100)
	l.end()
	l.checkAll(t, readers)
	wantNotMoved(t, readers)
}

// TestNetworkDelays: 30 ms each way, so that a node's knowledge is always old.
func TestNetworkDelays(t *testing.T) {
	t.Parallel()
	p, nodes, names, readers := startProxied(t, testOptions())
	p.delay.Store(int64(30 * time.Millisecond))
	l := startLoad(t, nodes, names)
	l.more(t, 500)
	p.delay.Store(0)
	l.more(t, 100)
	l.end()
	l.checkAll(t, readers)
	wantNotMoved(t, readers)
	if l.refused > 0 {
		t.Errorf("%d publishes were refused", l.refused)
	}
}

// TestManyCopiesOnASlowRedis: comparing all copies takes longer than one call may, so it
// is done in parts. In one piece it would break the connection and start again for ever.
func TestManyCopiesOnASlowRedis(t *testing.T) {
	t.Parallel()
	s, nodes := startNodes(t, 1, deep())
	p := startProxy(t, s.Addr())
	n := startNode(t, hasty(testOptions(p.addr())), deep())
	names := channelNames(300)
	readers := startReaders([]*testNode{n}, names)
	p.script.Store(int64(4 * time.Millisecond))
	p.cut()
	for _, name := range names {
		nodes[0].mustPublish(name, "x")
	}
	for _, r := range readers {
		checkFor(t, patience, func() error { return r.has([]string{"x"}) })
	}
	wantNotMoved(t, readers)
}

// TestNetworkHalfOpen: the connections stay open but dead. Publishes to that node are
// refused within a second. It makes new connections without help, and its subscribers get
// what they have missed.
func TestNetworkHalfOpen(t *testing.T) {
	t.Parallel()
	p, nodes, names, readers := startProxied(t, hasty(testOptions()))
	l := startLoad(t, nodes, names)
	l.more(t, 100)
	p.half()
	l.moreRefused(t)
	p.heal()
	checkFor(t, patience, func() error {
		if r := nodes[0].publishTo("c0", "healed"); r.Err != nil {
			return r.Err
		}
		return nil
	})
	l.endQuick(t, readers)
}
