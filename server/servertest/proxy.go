package servertest

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Proxy is a TCP proxy that can break what passes through it.
type Proxy struct {
	URL string // http://host:port, or https://host:port

	t      testing.TB
	target string
	ln     net.Listener
	mu     sync.Mutex
	frozen bool
	conns  map[net.Conn]bool
	count  int
	pipes  sync.WaitGroup
}

// NewProxy listens in front of an http:// or https:// address until the end of the test.
// TLS goes through it.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	return newProxy(t, target, nil)
}

// NewTLSProxy is like NewProxy, but its clients have to speak TLS.
func NewTLSProxy(t testing.TB, target string, config *tls.Config) *Proxy {
	t.Helper()
	return newProxy(t, target, config)
}

func newProxy(t testing.TB, target string, secure *tls.Config) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scheme, address, _ := strings.Cut(target, "://")
	scheme += "://"
	if secure != nil {
		scheme, ln = "https://", tls.NewListener(ln, secure)
	}
	p := &Proxy{
		URL: scheme + ln.Addr().String(), t: t, ln: ln,
		target: address, conns: map[net.Conn]bool{},
	}
	p.pipes.Go(p.accept)
	t.Cleanup(func() {
		ln.Close()
		p.Cut()
		p.pipes.Wait()
	})
	return p
}

func (p *Proxy) accept() {
	for {
		in, err := p.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil { // the server is away: as if nobody listened
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		p.count++
		p.mu.Unlock()
		p.pipes.Go(func() { p.pipe(in, out) })
		p.pipes.Go(func() { p.pipe(out, in) })
	}
}

func (p *Proxy) pipe(from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if n > 0 && !frozen {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err != io.EOF || !frozen {
				return
			}
		}
	}
}

// Cut closes every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// Freeze lets nothing through any more, and closes nothing: a dead network.
func (p *Proxy) Freeze(frozen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = frozen
}

// Away cuts everybody and keeps them from coming back while something happens.
func (p *Proxy) Away(while func()) {
	p.Freeze(true)
	p.Cut()
	while()
	p.Freeze(false)
	p.Cut()
}

// Connections is how many there have been.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}
