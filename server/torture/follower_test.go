package torture

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// follower is a client as the protocol wants it: it comes back whenever its connection
// ends, with the seq that it needs next. It checks that within one life of the
// server nothing comes twice, out of order or is missing.
type follower struct {
	kind, cname string
	front       func() string // where the server is now
	next        int64         // what it asks for

	mu       sync.Mutex
	life     string           // whose messages came last
	last     int64            // the seq of the last message of that life
	got      map[string]int64 // by life, the last seq
	contents map[string]bool  // all of them
	returns  int
	ends     []error // how its connections ended
	seen     atomic.Int64
}

// home is where the server is in its present life, by number.
type home struct {
	front, admin string
	life         int
}

// crowd is many followers and some publishers.
type crowd struct {
	followers []*follower
	home      atomic.Pointer[home]
	stopped   atomic.Bool  // the followers go
	quiet     atomic.Bool  // the publishers stop
	published atomic.Int64 // acknowledged
	mu        sync.Mutex
	acked     map[string]time.Time // contents, when they were acknowledged
	all       sync.WaitGroup
	pushers   sync.WaitGroup
	wrong     chan error
	pace      time.Duration // between two publishes of one publisher
	once      bool          // nobody comes back
}

const crowdChannels = 5

func newCrowd(n int) *crowd {
	c := &crowd{wrong: make(chan error, n+8), acked: make(map[string]time.Time), pace: 20 * time.Millisecond}
	for i := range n {
		c.followers = append(c.followers, &follower{
			kind: []string{"stream", "sse", "sub"}[i%3], cname: fmt.Sprint("c", i%crowdChannels), next: 1,
			front: func() string { return c.home.Load().front },
			got:   make(map[string]int64), contents: make(map[string]bool),
		})
	}
	return c
}

// meet says where the server is, from its next life on.
func (c *crowd) meet(d *daemon) {
	next := &home{front: d.front, admin: d.admin, life: 1}
	if last := c.home.Load(); last != nil {
		next.life = last.life + 1
	}
	c.home.Store(next)
}

func (c *crowd) run(publishers int) {
	for _, f := range c.followers {
		c.all.Go(func() {
			if err := f.follow(&c.stopped, c.once); err != nil {
				c.wrong <- fmt.Errorf("%s of %s: %w", f.kind, f.cname, err)
			}
		})
	}
	for p := range publishers {
		c.pushers.Go(func() { c.publish(p) })
	}
}

// publish goes on through the deaths of the server.
func (c *crowd) publish(p int) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; !c.quiet.Load(); n++ {
		at := c.home.Load()
		content := fmt.Sprintf("%d-%d-%d", at.life, p, n)
		form := url.Values{"cname": {fmt.Sprint("c", (n+p)%crowdChannels)}, "content": {content}}
		resp, err := client.PostForm("http://"+at.admin+"/push", form)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == 200 {
				c.published.Add(1)
				c.mu.Lock()
				c.acked[content] = time.Now()
				c.mu.Unlock()
			}
		}
		time.Sleep(c.pace) // the load's rate
	}
}

// hush ends the publishing and sends each channel its last message, on which who
// waits for more can end.
func (c *crowd) hush(d *daemon) {
	d.t.Helper()
	c.quiet.Store(true)
	c.pushers.Wait()
	for i := range crowdChannels {
		d.push(fmt.Sprint("c", i), c.last(i))
	}
	checkFor(d.t, patience, func() error {
		for i, f := range c.followers {
			if !f.has(c.last(i)) {
				return fmt.Errorf("subscriber %d has not got the last message", i)
			}
		}
		return nil
	})
}

func (c *crowd) last(i int) string {
	return fmt.Sprintf("%d-last-%d", c.home.Load().life, i%crowdChannels)
}

// end stops everybody and gives the first thing that was wrong.
func (c *crowd) end() error {
	c.quiet.Store(true)
	c.stopped.Store(true)
	c.pushers.Wait()
	over := make(chan struct{})
	go func() { c.all.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(patience):
		return errors.New("the followers do not end")
	}
	select {
	case err := <-c.wrong:
		return err
	default:
		return nil
	}
}

// follow subscribes until it is stopped or something is wrong.
func (f *follower) follow(stopped *atomic.Bool, once bool) error {
	for !stopped.Load() {
		err := f.visit(stopped)
		var bad *protocolError
		if errors.As(err, &bad) {
			return bad
		}
		f.mu.Lock()
		f.ends = append(f.ends, err)
		f.returns++
		f.mu.Unlock()
		if once {
			return nil
		}
		time.Sleep(20 * time.Millisecond) // as clients do between two tries
	}
	return nil
}

// protocolError is what must never happen; other errors are connections that end.
type protocolError struct{ text string }

func (e *protocolError) Error() string { return e.text }

// visit is one connection's life.
func (f *follower) visit(stopped *atomic.Bool) error {
	s, err := subscribe(f.front(), f.kind, f.cname, f.next)
	if err != nil {
		return err
	}
	defer s.nc.Close()
	fresh := true
	for !stopped.Load() {
		ms, err := s.read()
		if f.kind == "sub" && err == nil {
			for _, m := range ms {
				if err := f.take(m, true); err != nil {
					return err
				}
			}
			if err := s.ask(f.cname, f.next); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		for _, m := range ms {
			if err := f.take(m, fresh); err != nil {
				return err
			}
			fresh = false
		}
	}
	return nil
}

// take judges one message; fresh says that it is the connection's first.
func (f *follower) take(m message, fresh bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case m.Cname != f.cname:
		return &protocolError{fmt.Sprintf("got %+v", m)}
	case m.Type == "noop":
		return nil
	case m.Type == "next_seq":
		if !fresh {
			return &protocolError{fmt.Sprintf("expected %d, is told %+v", f.next, m)}
		}
		f.next = m.Seq // the server has begun anew
		return nil
	case m.Type != "data":
		return &protocolError{fmt.Sprintf("got %+v", m)}
	}
	life, _, _ := strings.Cut(m.Content, "-")
	last, known := f.got[life]
	switch {
	case f.contents[m.Content]:
		return &protocolError{fmt.Sprintf("%+v came twice", m)}
	case known && m.Seq <= last:
		return &protocolError{fmt.Sprintf("seq %d came after %d of the same life", m.Seq, last)}
	case m.Seq != f.next:
		return &protocolError{fmt.Sprintf("expected %d, got %+v", f.next, m)}
	case f.life != "" && life < f.life && len(life) <= len(f.life):
		return &protocolError{fmt.Sprintf("a message of life %s after one of %s", life, f.life)}
	}
	f.life, f.next, f.last = life, m.Seq+1, m.Seq
	f.got[life] = m.Seq
	f.contents[m.Content] = true
	f.seen.Add(1)
	return nil
}

// has says whether a content has come.
func (f *follower) has(content string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.contents[content]
}
