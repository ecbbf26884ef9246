package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/rueidis"
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

// explain adds to an error of the start the addresses and what the operator should look
// at.
func (o *Options) explain(err error) error {
	if why := o.why(err); why != "" {
		err = fmt.Errorf("%s: %w", why, err)
	}
	return fmt.Errorf("redis %s: %w", strings.Join(o.Addresses, ","), err)
}

func (o *Options) why(err error) string {
	var refused *rueidis.RedisError
	if errors.As(err, &refused) {
		return whyRefused(refused.Error())
	}
	var untrusted *tls.CertificateVerificationError
	var name x509.HostnameError
	switch {
	case errors.As(err, &name):
		return "its certificate is for another name than the address says"
	case errors.As(err, &untrusted):
		return "its certificate is not trusted (tls_ca)"
	case o.TLS == nil && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)):
		return "it has hung up; perhaps it wants TLS on this port"
	case o.TLS != nil && errors.Is(err, context.DeadlineExceeded):
		return "it does not answer; perhaps it speaks no TLS on this port"
	case errors.Is(err, context.DeadlineExceeded):
		return "it does not answer in time (timeout)"
	}
	return ""
}

func whyRefused(text string) string {
	for _, known := range []struct{ begins, why string }{
		{"NOAUTH", "it wants a password, and none is configured"},
		{"WRONGPASS", "the user name or the password is wrong"},
		{"NOPERM", "this user may not do all that is needed"},
		{"DB index", "there is no such database (db)"},
	} {
		if strings.HasPrefix(text, known.begins) {
			return known.why
		}
	}
	return ""
}
