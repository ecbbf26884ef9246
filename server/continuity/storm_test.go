package continuity

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"pgregory.net/rapid"

	"icomet/server/servertest"
)

// storm lets subscribers come while messages are being published: each gets what was there
// at some moment of that, and then the rest.
func (w *world) storm(t *rapid.T) {
	c := w.pick(t)
	l := c.life
	if l == nil || l.ended || len(w.nodes()) > 1 {
		return
	}
	var asks []*ask
	for range rapid.IntRange(1, 4).Draw(t, "subscribers") {
		asks = append(asks, w.drawAsk(t, c))
	}
	var texts []string
	for range rapid.IntRange(2, 12).Draw(t, "messages") {
		texts = append(texts, w.content(t))
	}
	w.counted(t)
	at, published := time.Now(), make(chan error, 1)
	go func() { published <- w.publishAll(c, texts) }()
	var came []*sub
	for _, a := range asks {
		s := w.ask(t, c, a)
		s.listen()
		came = append(came, s)
	}
	c.subs = append(c.subs, came...)
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	states, groups := []life{*l}, [][]servertest.Event(nil)
	for _, text := range texts {
		group := w.store(c, l, "data", text, "", at)
		for _, s := range c.subs[:len(c.subs)-len(came)] {
			s.tell(group)
		}
		states, groups = append(states, *l), append(groups, group)
	}
	for i, s := range came {
		for n := range states {
			for oldest := states[n].oldest; oldest <= states[n].certain(time.Now()); oldest++ {
				s.cases = append(s.cases, seen{first: seenAs(s.Kind, states[n].first(asks[i], oldest))})
				for _, group := range groups[n:] {
					s.cases[len(s.cases)-1].tell(s.Kind, group)
				}
			}
		}
	}
	w.counted(t)
}

// publishAll publishes in order, and holds the answers against the present life.
func (w *world) publishAll(c *channelOf, texts []string) error {
	next, epoch := c.life.next, c.life.epoch
	for i, text := range texts {
		form := url.Values{"cname": {c.name}, "content": {text}, "position": {"1"}}
		status, body, err := servertest.ReadAnswer(w.admin.PostForm(servertest.URL(w.nodes()[0].admin)+"/push", form))
		if err != nil {
			return err
		}
		got, want := positionAnswer{}, positionAnswer{Type: "ok", Cname: c.name, Seq: next + int64(i), Epoch: epoch}
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || got != want {
			return fmt.Errorf("publish: %d %q, want %+v", status, body, want)
		}
	}
	return nil
}
