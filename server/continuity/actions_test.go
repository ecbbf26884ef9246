package continuity

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"icomet/server/servertest"
)

// content is a text of its own.
func (w *world) content(t *rapid.T) string {
	w.sent++
	text := fmt.Sprintf("%04d ", w.sent) + rapid.SampledFrom([]string{"", "10 in", "two\nlines\n", `"<\>`, strings.Repeat("ä", 40)}).Draw(t, "text")
	if rapid.IntRange(0, 30).Draw(t, "long") == 30 {
		text += strings.Repeat("x", 40<<10)
	}
	return text
}

// id is none, a new one or one that was used, for a publish to the life.
func (w *world) id(t *rapid.T, l *life) string {
	n := rapid.IntRange(0, 9).Draw(t, "id")
	switch {
	case n < 4:
		return ""
	case n < 7 && len(w.ids) > 0:
		return rapid.SampledFrom(w.ids[max(0, len(w.ids)-8):]).Draw(t, "old id")
	case n < 8 && l != nil: // at the edge of what is known
		edge := l.next - idWindow - int64(rapid.IntRange(0, 1).Draw(t, "beyond"))
		for id, seq := range l.ids {
			if seq == edge {
				return id
			}
		}
	}
	w.ids = append(w.ids, fmt.Sprintf("%s/%d", w.channels[0].name, len(w.ids)))
	return w.ids[len(w.ids)-1]
}

// store is what a publish does to the model.
func (w *world) store(c *channelOf, l *life, typ, content, id string, at time.Time) []servertest.Event {
	return l.store(typ, content, id, w.setup.keeping(c.kind), at)
}

type positionAnswer struct {
	Type, Cname, Content, Epoch string
	Seq                         int64
	Duplicate                   bool
}

// publish publishes with all kinds of conditions, most of which hold.
func (w *world) publish(t *rapid.T) {
	c := w.pick(t)
	l, at := c.life, time.Now()
	if l == nil {
		l = newLife(c.name)
	}
	content, id := w.content(t), w.id(t, l)
	args := []string{"cname", c.name, "content", content}
	if id != "" {
		args = append(args, "id", id)
	}
	ifSeq, epoch := int64(-1), ""
	if rapid.IntRange(0, 3).Draw(t, "conditional") == 3 {
		ifSeq = max(0, l.next+rapid.SampledFrom([]int64{0, 0, 0, -1, 1}).Draw(t, "if_seq"))
		if rapid.Bool().Draw(t, "with epoch") {
			epoch = w.drawEpoch(t, c)
		}
		args = append(args, "if_seq", itoa(ifSeq), "epoch", epoch)
	}
	first, known := l.find(id)
	conflict := ifSeq >= 0 && (ifSeq != l.next || epoch != "" && epoch != l.epoch)
	if !known && !l.ended && !conflict && ifSeq < 0 && rapid.Bool().Draw(t, "plain answer") {
		w.must(t, "200 {\"type\":\"ok\"}\n", "/push", args...)
		w.tell(c, w.store(c, l, "data", content, id, at))
		if l.epoch == "" {
			w.probe(t, c, l)
		}
		return
	}
	status, body := w.call(t, "/push", append(args, "position", "1")...)
	var got positionAnswer
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("publish %q: %d %q", args, status, body)
	}
	want := positionAnswer{Type: "ok", Cname: c.name, Seq: l.next, Epoch: l.epoch}
	wantStatus := 200
	switch {
	case known:
		want.Seq, want.Duplicate = first, true
	case l.ended || conflict:
		wantStatus, want.Type, want.Content = 409, "409", got.Content
	case l.epoch == "":
		w.begin(t, c, l, got.Epoch)
		want.Epoch = l.epoch
	}
	if status != wantStatus || got != want || status == 409 && got.Content == "" {
		t.Fatalf("publish %.300q: %d %q, want %d %+v", args, status, body, wantStatus, want)
	}
	if want.Type == "ok" && !known {
		w.tell(c, w.store(c, l, "data", content, id, at))
	}
}

// batch publishes several messages at once, some of them in lines that cannot be.
func (w *world) batch(t *rapid.T) {
	lines := rapid.IntRange(1, 6).Draw(t, "lines")
	channels := []*channelOf{w.pick(t), w.pick(t)}
	if rapid.IntRange(0, 5).Draw(t, "many") == 5 {
		lines, channels = idWindow+6, channels[:1]
	}
	lives := map[*channelOf]*life{}
	at := time.Now()
	var body, want strings.Builder
	for range lines {
		c := rapid.SampledFrom(channels).Draw(t, "channel of a line")
		l := c.life
		if l == nil {
			if l = lives[c]; l == nil {
				l = newLife(c.name)
			}
		}
		if rapid.IntRange(0, 19).Draw(t, "bad") == 19 {
			body.WriteString(rapid.SampledFrom([]string{"", "{", `{"content":"x"}`, `{"cname":"x"}`, `[]`, `"x"`}).Draw(t, "bad line") + "\n")
			want.WriteString("error 400\n")
			continue
		}
		content, id := w.content(t), w.id(t, l)
		line := map[string]string{"cname": c.name, "content": content}
		if id != "" {
			line["id"] = id
		}
		b, _ := json.Marshal(line)
		body.WriteString(string(b) + "\n")
		first, known := l.find(id)
		switch {
		case known:
			fmt.Fprintf(&want, "{\"type\":\"ok\",\"seq\":%d,\"duplicate\":true}\n", first)
		case l.ended:
			want.WriteString("error 409\n")
		default:
			fmt.Fprintf(&want, "{\"type\":\"ok\",\"seq\":%d}\n", l.next)
			w.tell(c, w.store(c, l, "data", content, id, at))
			lives[c] = l
		}
	}
	status, answer := w.post(t, "/batch", "application/x-ndjson", body.String())
	var got strings.Builder
	for line := range strings.Lines(answer) {
		var e struct {
			Type, Content string
			Status        int
		}
		if _ = json.Unmarshal([]byte(line), &e); e.Type == "error" && e.Content != "" {
			line = fmt.Sprintf("error %d\n", e.Status)
		}
		got.WriteString(line)
	}
	if status != 200 || got.String() != want.String() {
		t.Fatalf("batch %.2000q: %d %q, want %q", body.String(), status, got.String(), want.String())
	}
	for _, c := range channels {
		if l := lives[c]; l != nil && l.epoch == "" {
			w.probe(t, c, l)
		}
	}
}

func (w *world) broadcast(t *rapid.T) {
	content, id, at := w.content(t), w.id(t, nil), time.Now()
	args := []string{"content", content}
	if id != "" {
		args = append(args, "id", id)
	}
	w.must(t, "200 ok\n", "/broadcast", args...)
	for _, c := range w.channels {
		if c.life == nil || c.life.ended {
			continue
		}
		if _, known := c.life.find(id); !known {
			w.tell(c, w.store(c, c.life, "broadcast", content, id, at))
			if len(w.nodes()) == 1 && w.shared() { // it too hears of it a moment later
				w.heard(t, c, w.nodes()[0])
			}
		}
	}
}

// end ends a channel, with a last message or without.
func (w *world) end(t *rapid.T) {
	c := w.pick(t)
	l, at := c.life, time.Now()
	args := []string{"cname", c.name}
	withContent, content, id := rapid.Bool().Draw(t, "with content"), "", ""
	if withContent {
		if content, id = w.content(t), w.id(t, l); rapid.IntRange(0, 4).Draw(t, "empty") == 4 {
			content = ""
		}
		args = append(args, "content", content)
		if id != "" {
			args = append(args, "id", id)
		}
	}
	if l == nil && !withContent {
		w.must(t, "404 channel["+c.name+"] not connected\n", "/end", args...)
		return
	}
	if l == nil {
		l = newLife(c.name)
	}
	var es []servertest.Event
	if _, known := l.find(id); withContent && !known && !l.ended {
		es = w.store(c, l, "data", content, id, at)
	}
	w.must(t, fmt.Sprintf("200 ok %d\n", l.next), "/end", args...)
	if !l.ended {
		l.ended = true
		w.tell(c, append(es, l.end()))
		w.finish(c, clean, all)
	}
	if l.epoch == "" {
		w.probe(t, c, l)
	}
	if c.kind == "brief" { // nobody keeps it
		w.closeIt(t, c)
	}
}

func (w *world) clear(t *rapid.T) {
	c := w.pick(t)
	w.must(t, w.nextOf(c), "/clear", "cname", c.name)
	if c.life != nil {
		c.life.oldest = c.life.next
	}
}

// nextOf is the answer of clear and close.
func (w *world) nextOf(c *channelOf) string {
	if c.life == nil {
		return "404 channel[" + c.name + "] not connected\n"
	}
	return fmt.Sprintf("200 ok %d\n", c.life.next)
}

func (w *world) close(t *rapid.T) { w.closeIt(t, w.pick(t)) }

func (w *world) closeIt(t *rapid.T, c *channelOf) {
	w.must(t, w.nextOf(c), "/close", "cname", c.name)
	if l := c.life; l != nil {
		w.tell(c, []servertest.Event{l.event("close", l.next, "")})
		w.finish(c, clean, all)
		c.dies()
	}
}

// expire lets everybody leave a brief channel, which then ends in its time.
func (w *world) expire(t *rapid.T) {
	c := rapid.SampledFrom(w.of("brief")).Draw(t, "brief channel")
	if c.life == nil || w.expired {
		return
	}
	w.expired = true
	for _, s := range c.subs {
		if err := s.hangUp(); err != nil {
			t.Fatal(err)
		}
	}
	c.subs = nil
	c.dies()
	want := 0
	for _, o := range w.channels {
		if o.life != nil {
			want++
		}
	}
	w.until(t, func() error {
		var total struct{ Channels int }
		_, body := w.call(t, "/info")
		if err := json.Unmarshal([]byte(body), &total); err != nil || total.Channels != want {
			return fmt.Errorf("%s is not freed, or too many are: %s, want %d channels", c.name, body, want)
		}
		return nil
	})
	w.must(t, "200 {}\n", "/check", "cname", c.name)
}

// pass lets the time of all stored messages of a channel pass.
func (w *world) pass(t *rapid.T) {
	c := rapid.SampledFrom(w.of("ttl")).Draw(t, "ttl channel")
	l := c.life
	if w.passed || l == nil || l.oldest == l.next {
		return
	}
	w.passed = true
	w.setup.ttl.ttl = shortTTL
	w.use(t)
	for _, node := range w.nodes() {
		w.until(t, func() error { return nothingStored(c, node) })
	}
	if !w.shared() { // else Redis has them until the next publish, and a longer buffer_ttl brings them back
		l.oldest = l.next
	}
}

// nothingStored fails while the node has messages of the channel.
func nothingStored(c *channelOf, node node) error {
	p, err := servertest.Listen(node.front, "sub", "cname="+c.name+"&last=1&epoch=", "")
	if err != nil {
		return err
	}
	defer p.Close()
	es, err := p.Events()
	if err != nil || len(es) == 0 || es[0].Seq != c.life.next {
		return fmt.Errorf("%s: messages are kept for too long: %s %v", c.name, show(es), err)
	}
	return nil
}

// until waits for what takes time.
func (w *world) until(t *rapid.T, f func() error) {
	if err := servertest.Poll(patience, f); err != nil {
		t.Fatal(err)
	}
}

// configure changes what the classes keep.
func (w *world) configure(t *rapid.T) {
	w.setup = drawSetup(t)
	w.use(t)
}

func (w *world) use(t *rapid.T) {
	for _, c := range w.channels {
		for _, node := range w.nodes() { // it may hear of a publish when its class has changed
			w.synced(t, c, node)
		}
	}
	err := w.reload(w.setup)
	w.note("classes %+v %v", w.setup, err)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.channels {
		if c.life != nil {
			c.life.shorten(w.setup.keeping(c.kind).ttl)
		}
	}
}

// happen ends servers and starts them again, or does what else can happen to them. What
// they knew may be gone.
func (w *world) happen(t *rapid.T) {
	if w.happened == 3 {
		return
	}
	w.happened++
	how := w.ways()[rapid.IntRange(0, len(w.ways())-1).Draw(t, "what happens")]
	w.note("%s, node %d", how.name, how.node)
	for _, c := range w.channels {
		if how.keeps && c.kind == "brief" && c.life != nil {
			w.closeIt(t, c) // nobody would keep it
		}
	}
	w.counted(t)
	for _, c := range w.channels {
		w.finish(c, how.ends, func(s *sub) bool {
			s.noop = []servertest.Event{{Message: servertest.Message{Type: "noop", Cname: c.name}}}
			return how.node == everybody || how.node == s.node
		})
		switch {
		case !how.keeps:
			c.dies()
		case !w.shared() && c.life != nil: // the server comes from a snapshot
			c.life.trim(w.setup.keeping(c.kind))
		}
	}
	if how.node == everybody {
		for _, s := range w.ended {
			_ = s.Close()
		}
		w.counted(t)
	}
	w.admin.CloseIdleConnections()
	how.does()
	w.note("done")
	if how.node < 0 {
		w.reachable(t)
	}
	w.settle(t)
}

// reachable waits until every node can say something about every channel: after an outage
// each connection to Redis has to be noticed to be broken.
func (w *world) reachable(t *rapid.T) {
	for _, node := range w.nodes() {
		for _, c := range w.channels {
			if c.life == nil {
				// Who asks is a subscriber for a moment, and keeps the channel alive: a node
				// that has one creates it again when its store has lost it.
				if err := servertest.PollEvery(3*time.Second, patience, func() error { return unknown(c, node) }); err != nil {
					t.Fatal(err)
				}
			}
			w.until(t, func() error {
				l, err := servertest.Listen(node.front, "rawstream", "cname="+c.name, "")
				if err != nil {
					return err
				}
				l.Close()
				status, body, err := servertest.ReadAnswer(w.admin.Get(servertest.URL(node.admin) + "/info?cname=" + c.name))
				if l.Status == 503 || status != 200 || err != nil {
					return fmt.Errorf("%s cannot be reached: %d, %d %s %v", c.name, l.Status, status, body, err)
				}
				return nil
			})
		}
	}
	w.counted(t)
}

// disconnect lets a subscriber leave.
func (w *world) disconnect(t *rapid.T) {
	c := rapid.SampledFrom(w.channels).Draw(t, "channel")
	stays := 0
	if c.kind == "brief" {
		stays = 1
	}
	if len(c.subs) <= stays {
		return
	}
	i := rapid.IntRange(stays, len(c.subs)-1).Draw(t, "subscriber")
	if err := c.subs[i].hangUp(); err != nil {
		t.Fatal(err)
	}
	c.subs = slices.Delete(c.subs, i, i+1)
}
