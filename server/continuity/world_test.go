package continuity

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"icomet/server/servertest"
)

// patience is how long a test waits for something that has to happen.
const patience = servertest.Patience

// kinds are the sorts of channels, each a class of its own but for the first. A brief one
// lives for a second without a subscriber, so it has one that stays.
var kinds = []string{"plain", "small", "ttl", "brief"}

const shortTTL = time.Second

// channelOf is a channel name: its present life and those before.
type channelOf struct {
	name, kind string
	life       *life // nil: there is none
	old        []*life
	subs       []*sub // of the present life; a brief one's first stays
}

// world is the servers and the model of them.
type world struct {
	target
	admin    *http.Client
	setup    setup
	channels []*channelOf
	ended    []*sub   // what they got has not been compared yet
	ids      []string // that were used
	sent     int
	happened int
	trace    strings.Builder // what was done, for failures
	// A channel has expired, and messages have: it takes a second, so it happens once.
	expired, passed bool
}

func newWorld(target target, admin *http.Client, prefix string) *world {
	w := &world{target: target, admin: admin}
	for _, kind := range kinds {
		for i := range 2 {
			w.channels = append(w.channels, &channelOf{name: fmt.Sprintf("%s-%s-%d", prefix, kind, i), kind: kind})
		}
	}
	return w
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// note writes down what is done.
func (w *world) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	fmt.Fprintln(&w.trace, time.Now().Format("05.000"), text)
}

// call makes an admin request with a form.
func (w *world) call(t *rapid.T, path string, pairs ...string) (status int, body string) {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return w.post(t, path, "application/x-www-form-urlencoded", form.Encode())
}

func (w *world) post(t *rapid.T, path, kind, body string) (int, string) {
	node := rapid.SampledFrom(w.nodes()).Draw(t, "admin node")
	status, answer, err := servertest.ReadAnswer(w.admin.Post(servertest.URL(node.admin)+path, kind, strings.NewReader(body)))
	w.note("%s %s at %s: %d %q %v", path, body, node.admin, status, answer, err)
	if err != nil {
		t.Fatalf("%s %s: %v", path, body, err)
	}
	return status, answer
}

// must makes a request and compares the whole answer.
func (w *world) must(t *rapid.T, want string, path string, pairs ...string) {
	status, body := w.call(t, path, pairs...)
	if got := strconv.Itoa(status) + " " + body; got != want {
		t.Fatalf("%s %q: %q, want %q", path, pairs, got, want)
	}
}

// of is the channels of a kind.
func (w *world) of(kind string) (out []*channelOf) {
	for _, c := range w.channels {
		if c.kind == kind {
			out = append(out, c)
		}
	}
	return out
}

// pick draws a channel. A brief one that is to be there gets its subscriber first.
func (w *world) pick(t *rapid.T) *channelOf {
	c := rapid.SampledFrom(w.channels).Draw(t, "channel")
	if c.kind == "brief" && c.life == nil {
		a := w.drawAsk(t, c)
		a.kind = "stream"
		w.join(t, c, a)
	}
	return c
}

// begin is for the first that is known of a channel's new life.
func (w *world) begin(t *rapid.T, c *channelOf, l *life, epoch string) {
	if l.epoch = epoch; len(epoch) != 8 || strings.Trim(epoch, "0123456789abcdef") != "" {
		t.Fatalf("%s has the epoch %q", c.name, epoch)
	}
	if c.had(epoch) {
		t.Fatalf("%s has the epoch of an earlier life: %s", c.name, epoch)
	}
	c.life = l
}

// had reports that an earlier life had the epoch.
func (c *channelOf) had(epoch string) bool {
	return slices.ContainsFunc(c.old, func(l *life) bool { return l.epoch == epoch })
}

// probe asks for the epoch of a channel that is there. Of several nodes, one may not have
// heard yet of what another one has answered for.
func (w *world) probe(t *rapid.T, c *channelOf, l *life) {
	node := rapid.SampledFrom(w.nodes()).Draw(t, "node")
	for late := time.Now().Add(patience); ; {
		p, err := servertest.Listen(node.front, "sub", "cname="+c.name+"&epoch=", "")
		if err != nil {
			t.Fatal(err)
		}
		es, err := p.Events()
		p.Close()
		w.note("a poll from now of %s at %s: %s", c.name, node.front, show(es))
		switch {
		case err == nil && len(es) > 0 && es[0].Type == "position" && es[0].Recovered && es[0].Seq == l.next && (len(w.nodes()) == 1 || !c.had(es[0].Epoch)):
			w.begin(t, c, l, es[0].Epoch)
			return
		case len(w.nodes()) == 1 || time.Now().After(late):
			t.Fatalf("a poll from now of %s gets %s, %v; want its position with seq %d", c.name, show(es), err, l.next)
		}
	}
}

// end says that the life of c is over.
func (c *channelOf) dies() {
	if c.life != nil {
		c.old = append(c.old, c.life)
	}
	c.life = nil
}

// tell tells the subscribers of c what has happened.
func (w *world) tell(c *channelOf, es []servertest.Event) {
	for _, s := range c.subs {
		s.tell(es)
	}
}

// finish ends those subscribers of c that are meant.
func (w *world) finish(c *channelOf, how ending, who func(*sub) bool) {
	stay := c.subs[:0]
	for _, s := range c.subs {
		if !who(s) {
			stay = append(stay, s)
			continue
		}
		if s.waits() {
			s.end = how
		}
		w.ended = append(w.ended, s)
	}
	clear(c.subs[len(stay):])
	c.subs = stay
}

func all(*sub) bool { return true }

// counted waits until the nodes have the subscribers that the model has, so that a poll,
// which says nothing, is where it is thought to be.
func (w *world) counted(t *rapid.T) {
	for i, node := range w.nodes() {
		err := servertest.Poll(patience, func() error {
			want := 0
			for _, c := range w.channels {
				for _, s := range c.subs {
					if s.node == i && s.waits() {
						want++
					}
				}
			}
			var stats struct{ Subscribers int }
			_, body, err := servertest.ReadAnswer(w.admin.Get(servertest.URL(node.admin) + "/stats"))
			if err == nil {
				err = json.Unmarshal([]byte(body), &stats)
			}
			if err == nil && stats.Subscribers != want {
				err = fmt.Errorf("node %d has %d subscribers, the model %d", i, stats.Subscribers, want)
			}
			return err
		})
		if err != nil {
			w.checkNow(t)
			t.Fatal(err)
		}
	}
}

// checkNow fails when something is wrong already.
func (w *world) checkNow(t *rapid.T) {
	for _, s := range w.subscribers() {
		if err := s.check(); errors.Is(err, errWrong) {
			t.Fatal(err)
		}
	}
}

func (w *world) subscribers() []*sub {
	all := slices.Clone(w.ended)
	for _, c := range w.channels {
		all = append(all, c.subs...)
	}
	return all
}

// settle waits until everybody has got what the model says.
func (w *world) settle(t *rapid.T) {
	for _, s := range w.subscribers() {
		err := servertest.Poll(patience, func() error {
			if err := s.check(); !errors.Is(err, errWrong) {
				return err
			}
			return nil
		})
		if err == nil {
			err = s.check()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range w.ended {
		_ = s.Close()
		s.done.Wait()
	}
	w.ended = nil
	for _, c := range w.channels {
		c.subs = slices.DeleteFunc(c.subs, func(s *sub) bool {
			if s.waits() {
				return false
			}
			_ = s.Close()
			s.done.Wait()
			return true
		})
	}
}

// leave ends a history: nobody stays, and no channel.
func (w *world) leave() {
	for _, s := range w.subscribers() {
		_ = s.hangUp()
	}
	for _, c := range w.channels {
		_, _, _ = servertest.ReadAnswer(w.admin.Get(servertest.URL(w.nodes()[0].admin) + "/close?cname=" + c.name))
	}
}

// String is what is known of a channel, for failures.
func (c *channelOf) String() string {
	if c.life == nil {
		return fmt.Sprintf("%s, which is not there", c.name)
	}
	return fmt.Sprintf("%s %s, next %d, stored from %d, ended %v", c.name, c.life.epoch, c.life.next, c.life.oldest, c.life.ended)
}

// GoString is how rapid shows a channel that it has drawn.
func (c *channelOf) GoString() string { return c.name }
