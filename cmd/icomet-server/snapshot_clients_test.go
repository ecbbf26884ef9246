package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"icomet/server/servertest"
)

// positionKinds are the clients with a position. The last is a browser's EventSource, which
// knows event ids only.
var positionKinds = []string{"stream", "sse", "iframe", "poll", "sub", "eventsource"}

// positioned is a client that comes back with its position, whenever its response ends.
type positioned struct {
	kind, cname string
	epoch       string // "": none yet
	next        int64
	recovered   int // how often it was told
	breaks      int // how often it had to come back
	conn        *servertest.Conn
	wrong       error // what must not be
}

var errOver = errors.New("has the last message, or has failed")

// follow reads the channel to its message number last, each once and in order, on whatever
// server there is. It fails as soon as it is told that it has lost something.
func (p *positioned) follow(front string, last int64) error {
	p.next = 1
	err := servertest.Poll(2*startLimit, func() (err error) {
		if p.conn, err = servertest.Dial(front); err != nil {
			return err
		}
		defer p.conn.Close()
		for err == nil {
			err = p.once(last)
		}
		if err == errOver {
			return nil
		}
		p.breaks++
		return fmt.Errorf("%s of %s before seq %d: %w", p.kind, p.cname, p.next, err)
	})
	return errors.Join(err, p.wrong)
}

// fail ends the client: nothing that comes later makes it right.
func (p *positioned) fail(format string, args ...any) error {
	p.wrong = fmt.Errorf("%s of %s with %s-%d: %w", p.kind, p.cname, p.epoch, p.next, fmt.Errorf(format, args...))
	return errOver
}

// once reads until the response ends; the response of a poll is one answer.
func (p *positioned) once(last int64) (err error) {
	if err := p.request(); err != nil {
		return err
	}
	if p.kind == "poll" || p.kind == "sub" {
		status, body, err := p.conn.Answer()
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d, %w", status, errors.Join(err, errors.New(body)))
		}
		body = strings.TrimSuffix(strings.TrimPrefix(body, "icomet_cb("), ");\n")
		return p.take(body, last)
	}
	if _, err := p.conn.Head(); err != nil {
		return err
	}
	for {
		chunk, err := p.conn.Chunk()
		if err != nil || chunk == "" {
			return fmt.Errorf("the response has ended: %w", errors.Join(err, errors.New(chunk)))
		}
		if err := p.takeChunk(chunk, last); err != nil {
			return err
		}
	}
}

func (p *positioned) request() error {
	path, field, query := p.kind, "", fmt.Sprintf("&seq=%d&epoch=%s", p.next, p.epoch)
	if p.kind == "eventsource" {
		path, query = "sse", "&seq=1"
		if p.epoch != "" {
			field = fmt.Sprintf("Last-Event-ID: %s-%d\r\n", p.epoch, p.next-1)
		}
	}
	_, err := fmt.Fprintf(p.conn, "GET /%s?cname=%s%s HTTP/1.1\r\nHost: test\r\n%s\r\n", path, p.cname, query, field)
	return err
}

// takeChunk reads a chunk of an endless response.
func (p *positioned) takeChunk(chunk string, last int64) error {
	switch p.kind {
	case "stream":
		return p.take(chunk, last)
	case "iframe":
		for line := range strings.Lines(chunk) {
			if text, found := strings.CutPrefix(line, "<script>parent.icomet_cb("); found {
				if err := p.take(strings.TrimSuffix(text, ");</script>\n"), last); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for event := range strings.SplitSeq(chunk, "\n\n") {
		data, id := "", ""
		for line := range strings.Lines(event) {
			switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
			case "data":
				data = value
			case "id":
				id = value
			case "event":
				return p.fail("is told %s", event)
			}
		}
		if id != "" && p.kind == "eventsource" {
			p.epoch, _, _ = strings.Cut(id, "-")
		}
		if data != "" {
			if err := p.take(data, last); err != nil {
				return err
			}
		}
	}
	return nil
}

// take reads a message or a list of them.
func (p *positioned) take(text string, last int64) error {
	if !strings.HasPrefix(text, "[") {
		text = "[" + text + "]"
	}
	var ms []servertest.Message
	if err := json.Unmarshal([]byte(text), &ms); err != nil {
		return p.fail("%q: %w", text, err)
	}
	for _, m := range ms {
		switch m.Type {
		case "position":
			if !m.Recovered || m.Lost != 0 || m.Seq != p.next || p.epoch != "" && m.Epoch != p.epoch {
				return p.fail("is told %+v", m)
			}
			p.epoch = m.Epoch
			p.recovered++
		case "noop", "next_seq":
		case "data":
			if m.Seq != p.next || m.Content != fmt.Sprint(m.Seq) {
				return p.fail("gets %+v", m)
			}
			p.next++
			if m.Seq == last {
				return errOver
			}
		default:
			return p.fail("gets %+v", m)
		}
	}
	return nil
}

// publishAll publishes the numbers 1 to last to a channel, each with an id, and repeats one
// until it is answered, by whatever server there is.
func publishAll(admin, cname string, last int, sent *atomic.Int64) error {
	for i := 1; i <= last; i++ {
		var answer string
		err := servertest.Poll(2*startLimit, func() error {
			status, body, err := servertest.Get(fmt.Sprintf("http://%s/push?cname=%s&content=%d&id=%d&position=1", admin, cname, i, i))
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("%d %s %w", status, body, err)
			}
			answer = body
			return nil
		})
		if err == nil && !strings.Contains(answer, fmt.Sprintf(`"seq":%d,`, i)) {
			err = fmt.Errorf("message %d of %s became %s", i, cname, answer)
		}
		if err != nil {
			return err
		}
		sent.Add(1)
	}
	return nil
}

// TestSnapshotUnderLoad restarts the server twice while publishers publish and clients of all
// kinds follow: all are told that they are recovered, and nobody misses or doubles anything.
func TestSnapshotUnderLoad(t *testing.T) {
	t.Parallel()
	clients, others, last, channels := 60, 10_000, 60, 5
	if torture() {
		clients, others, last, channels = 1000, 100_000, 200, 20
	}
	front, admin := ownAddress(t), ownAddress(t)
	config, path := snapshotConfig(t)
	rewriteWhole(t, config, fmt.Sprintf("front.listen = %q", front), fmt.Sprintf("admin.listen = %q", admin),
		fmt.Sprint("front.channel_buffer_size = ", last), "front.channel_timeout = 3600",
		fmt.Sprintf("engine.snapshot = %q", path), `limits.drain_timeout = "500ms"`)
	d := start(t, nil, config)
	d.fill(t, others)

	var all sync.WaitGroup
	var sent atomic.Int64
	report := func(f func() error) func() {
		return func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		}
	}
	everybody := make([]*positioned, clients)
	for i := range everybody {
		p := &positioned{kind: positionKinds[i%len(positionKinds)], cname: fmt.Sprint("live-", i%channels)}
		everybody[i] = p
		all.Go(report(func() error { return p.follow(front, int64(last)) }))
	}
	for i := range channels {
		all.Go(report(func() error { return publishAll(admin, fmt.Sprint("live-", i), last, &sent) }))
	}
	for restart := range 2 {
		enough := int64((restart + 1) * channels * last / 3)
		checkFor(t, 2*startLimit, func() error {
			if n := sent.Load(); n < enough {
				return fmt.Errorf("%d of %d messages are published", n, enough)
			}
			return nil
		})
		d.end(t, 0)
		d = start(t, nil, config)
		d.WaitLog(fmt.Sprintf(`msg="channels loaded" path=%s channels=%d `, path, others+channels), 1)
	}
	all.Wait()

	told := map[string][2]int{}
	for _, p := range everybody {
		n := told[p.kind]
		told[p.kind] = [2]int{n[0] + p.recovered, n[1] + p.breaks}
		if p.breaks == 0 {
			t.Errorf("a %s was never interrupted", p.kind)
		}
	}
	t.Logf("told recovered, and attempts that failed, by kind: %v", told)
	if got := d.ask(t, "/info"); !strings.Contains(got, fmt.Sprintf(`"channels": %d,`, others+channels)) {
		t.Errorf("at the end: %s", got)
	}
	d.end(t, 0)
}
