package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// event is a message as a client receives it.
type event struct {
	Type, Content string
	Seq           int64
}

// follower is a client with a stream. When the stream breaks, it continues on the next
// node with its seq. It records what it got.
type follower struct {
	name string
	mu   sync.Mutex
	got  map[string]int
	told int // next_seq: how often it was told of a gap
	err  error
	next int64
	seen int // streams opened
	body io.Closer
	over bool
}

func (f *follower) run(addrs []string) {
	for i := 0; ; i++ {
		f.mu.Lock()
		over, next := f.over, f.next
		f.mu.Unlock()
		if over {
			return
		}
		resp, err := http.Get(fmt.Sprintf("http://%s/stream?cname=%s&seq=%d", addrs[i%len(addrs)], f.name, next))
		if err != nil || resp.StatusCode != 200 {
			if err == nil {
				resp.Body.Close()
			}
			time.Sleep(20 * time.Millisecond) // as a client waits before it tries again
			continue
		}
		f.mu.Lock()
		f.seen++
		f.body = resp.Body
		f.mu.Unlock()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			f.take(lines.Bytes())
		}
		resp.Body.Close()
	}
}

func (f *follower) take(line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return // the rest of a message that was cut off
	}
	switch e.Type {
	case "data":
		if e.Seq != f.next && f.err == nil {
			f.err = fmt.Errorf("%s: seq %d came, %d was next", f.name, e.Seq, f.next)
		}
		f.next = e.Seq + 1
		f.got[e.Content]++
	case "next_seq":
		f.told++
		f.next = e.Seq
	}
}

func (f *follower) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.body != nil {
		f.body.Close()
	}
}

func (f *follower) has(contents []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	for _, c := range contents {
		if f.got[c] != 1 {
			return fmt.Errorf("%s has %q %d times, %d in all", f.name, c, f.got[c], len(f.got))
		}
	}
	return nil
}

// follow subscribes to every channel on every node. A broken stream continues on another
// node.
func (c *cluster) follow(names []string) (all []*follower) {
	c.t.Helper()
	return c.followOn(names, len(c.nodes))
}

// followOn is follow with that many nodes to try for a stream, its own first.
func (c *cluster) followOn(names []string, tries int) (all []*follower) {
	c.t.Helper()
	var running sync.WaitGroup
	for i := range c.nodes {
		var addrs []string
		for k := range tries {
			addrs = append(addrs, c.nodes[(i+k)%len(c.nodes)].Address("front"))
		}
		for _, name := range names {
			f := &follower{name: name, next: 1, got: make(map[string]int)}
			running.Go(func() { f.run(addrs) })
			all = append(all, f)
		}
	}
	c.t.Cleanup(func() {
		for _, f := range all {
			f.end()
		}
		running.Wait()
	})
	return all
}

// publishers publish through every node until stop is closed, and record per channel what
// was acknowledged.
type publishers struct {
	mu      sync.Mutex
	acked   map[string][]string
	n       int
	refused int
	slowest time.Duration
	stop    chan struct{}
	running sync.WaitGroup
}

func (c *cluster) publish(names []string) *publishers {
	p := &publishers{acked: make(map[string][]string), stop: make(chan struct{})}
	for i, d := range c.nodes {
		p.running.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-p.stop:
					return
				default:
				}
				name, content := names[k%len(names)], fmt.Sprintf("%d.%d", i, k)
				begun := time.Now()
				status, _, err := d.tryCall(c.t, "/push?cname="+name+"&content="+url.QueryEscape(content))
				p.note(name, content, err == nil && status == 200, time.Since(begun))
			}
		})
	}
	return p
}

func (p *publishers) note(name, content string, ok bool, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slowest = max(p.slowest, took)
	if ok {
		p.n++
		p.acked[name] = append(p.acked[name], content)
	} else {
		p.refused++
	}
}

func (p *publishers) more(t *testing.T, n int) {
	t.Helper()
	p.mu.Lock()
	want := p.n + n
	p.mu.Unlock()
	checkFor(t, startLimit, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.n < want {
			return fmt.Errorf("%d acknowledged, want %d", p.n, want)
		}
		return nil
	})
}

func (p *publishers) end() {
	close(p.stop)
	p.running.Wait()
}

func (p *publishers) check(t *testing.T, all []*follower) {
	t.Helper()
	for _, f := range all {
		checkFor(t, startLimit, func() error { return f.has(p.acked[f.name]) })
		if f.told > 0 {
			t.Errorf("%s was told %d times that something is missing", f.name, f.told)
		}
	}
}
