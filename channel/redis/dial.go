package redis

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// redialInterval is the least time between two occasions on which all connections are
// made anew.
const redialInterval = time.Second

// dialer makes the connections to Redis and knows those that are open.
type dialer struct {
	through func(ctx context.Context, addr string, d *net.Dialer, t *tls.Config) (net.Conn, error)

	life context.Context // ends with close
	end  context.CancelFunc

	mu   sync.Mutex
	open map[*guard]struct{}
	last time.Time // of redial
}

func newDialer(through func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error)) *dialer {
	if through == nil {
		through = dialNetwork
	}
	life, end := context.WithCancel(context.Background())
	return &dialer{through: through, life: life, end: end, open: make(map[*guard]struct{})}
}

func dialNetwork(ctx context.Context, addr string, d *net.Dialer, t *tls.Config) (net.Conn, error) {
	if t == nil {
		return d.DialContext(ctx, "tcp", addr)
	}
	return (&tls.Dialer{NetDialer: d, Config: t}).DialContext(ctx, "tcp", addr)
}

func (d *dialer) dial(ctx context.Context, addr string, n *net.Dialer, t *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	c, err := d.through(ctx, addr, n, t)
	if err != nil {
		return nil, err
	}
	g := newGuard(c, d.forget)
	d.mu.Lock()
	d.open[g] = struct{}{}
	d.mu.Unlock()
	if err := d.life.Err(); err != nil {
		_ = g.Close()
		return nil, err
	}
	return g, nil
}

// close ends all connections, and those that are being made, for good.
func (d *dialer) close() {
	d.end()
	d.mu.Lock()
	list := slices.Collect(maps.Keys(d.open))
	d.mu.Unlock()
	for _, g := range list {
		_ = g.Close()
	}
}

func (d *dialer) forget(g *guard) {
	d.mu.Lock()
	delete(d.open, g)
	d.mu.Unlock()
}

// redial closes all connections, so that they are made anew. Behind a name or a proxy
// there is then perhaps another server: the master. It does so at most once in each
// redialInterval.
func (d *dialer) redial() {
	d.mu.Lock()
	var list []*guard
	if now := time.Now(); now.Sub(d.last) >= redialInterval {
		d.last = now
		for g := range d.open {
			list = append(list, g)
		}
	}
	d.mu.Unlock()
	for _, g := range list {
		_ = g.Close()
	}
}
