package web_test

import (
	"fmt"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

const (
	unknown     = `{"type":"lost","lost":"unknown","reason":"epoch"}`
	unknownFrom = `[{"type":"reset","seq":%d},` + unknown + `]`
)

// atPosition2 is a page that has got the messages 1 and 2 of epoch aaaaaaaa, and its server.
func atPosition2(t *testing.T, b *browser.Browser, site *site, transport string) (*scripted, *browser.Page) {
	s := newScripted(t)
	p := b.Open(t, site.with(s.URL))
	s.answer(map[string][]string{"-1": {position("aaaaaaaa", 1, ""), data(1), data(2)}})
	connect(p, "a", fmt.Sprintf("recovered: true, seq: 1, subUrl: %q, transports: [%q]", s.URL, transport))
	p.Want("got", `["1","2"]`)
	s.settle()
	return s, p
}

// TestPosition: a server that tells positions is believed. The numbers alone say nothing
// there: the same number of another life is another message.
func TestPosition(t *testing.T) {
	t.Parallel()
	site := newSite(t, "")
	b := browser.Start(t)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			s, p := atPosition2(t, b, site, name)
			defer p.Close()
			p.Want("positions", `["aaaaaaaa-1","aaaaaaaa-2"]`)
			p.Want("[comets[0].position, comets[0].seq]", `["aaaaaaaa-2",3]`)
			wantEvents(p, "[]")

			// A poll asks without its epoch after a break: it is answered at once, and what
			// it is told is compared here.
			poll := name == "poll" || name == "jsonp"
			asks := func(seq int) string {
				if poll {
					return fmt.Sprint("-", seq)
				}
				return fmt.Sprint("aaaaaaaa-", seq)
			}
			reason := map[bool]string{true: "epoch"}[poll]
			s.answer(map[string][]string{asks(3): {position("aaaaaaaa", 3, reason)}})
			wantEvents(p, `[{"type":"recovered","position":"aaaaaaaa-2"}]`)
			s.say(data(3))
			p.Want("got.at(-1)", `"3"`)
			s.settle()

			s.answer(map[string][]string{asks(4): {position("aaaaaaaa", 7, "trimmed"), data(7)}})
			wantEvents(p, `[{"type":"gap","lost":{"from":4,"to":6}},{"type":"lost","lost":{"from":4,"to":6},"reason":"trimmed"}]`)
			p.Want("got.at(-1)", `"7"`)
			s.settle()

			// A new life that is past our number.
			s.answer(map[string][]string{
				"-8":         {position("bbbbbbbb", 8, "epoch"), data(8), data(9)}, // of a poll, which must not take it so
				"aaaaaaaa-8": {position("bbbbbbbb", 6, "epoch"), data(6), data(7), data(8)},
			})
			wantEvents(p, fmt.Sprintf(unknownFrom, 8))
			p.Want("got.slice(-3)", `["6","7","8"]`)
			p.Want("comets[0].position", `"bbbbbbbb-8"`)

			// The life changes under a connection that lives.
			s.say(position("cccccccc", 2, "epoch"))
			wantEvents(p, fmt.Sprintf(unknownFrom, 9))
			s.say(data(2))
			p.Want("got.at(-1)", `"2"`)

			s.say(`{"type":"end","cname":"a","seq":3,"content":""}`)
			wantEvents(p, `[{"type":"end"}]`)
			p.Want("comets[0].state", `"ended"`)
			s.answer(nil)
			s.wantAsked()
			p.Want("comets[0].position", `"cccccccc-2"`)
			if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
				t.Errorf("errors in the page: %q", m)
			}
		})
	}
}

// TestPositionIsGone: a server of 0.1, which tells no positions, comes in the place of one
// that does. Nobody can know what is missing then.
func TestPositionIsGone(t *testing.T) {
	t.Parallel()
	site := newSite(t, "")
	b := browser.Start(t)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			s, p := atPosition2(t, b, site, name)
			defer p.Close()
			s.answer(nil)
			s.say(data(3)) // perhaps of another life
			wantEvents(p, fmt.Sprintf(unknownFrom, 3))
			p.Want("[got.at(-1), comets[0].position, comets[0].seq]", `["3","",4]`)
			s.settle()
			// From here on it guesses, as ever.
			s.answer(map[string][]string{"-4": {`{"type":"next_seq","cname":"a","seq":2,"content":""}`}, "-1": {data(1)}})
			wantEvents(p, fmt.Sprintf(unknownFrom, 4))
			p.Want("got", `["1","2","3","1"]`)
			s.settle()
			// And a server with positions again.
			s.answer(map[string][]string{"-2": {position("bbbbbbbb", 2, "epoch"), data(2)}})
			wantEvents(p, "["+unknown+"]")
			p.Want("[got.at(-1), comets[0].position]", `["2","bbbbbbbb-2"]`)
			p.Run("comets[0].stop()")
		})
	}
}

// TestNumberIsAhead: a number without an epoch that the channel has not reached, as of a
// page that was there before a restart. What the channel has is all new.
func TestNumberIsAhead(t *testing.T) {
	t.Parallel()
	site := newSite(t, "")
	b := browser.Start(t)
	for _, name := range transports {
		s := newScripted(t)
		p := b.Open(t, site.with(s.URL))
		s.answer(map[string][]string{
			"-9": {position("aaaaaaaa", 3, "ahead")},
			"-1": {position("aaaaaaaa", 1, ""), data(1), data(2)},
		})
		connect(p, "a", fmt.Sprintf("seq: 9, subUrl: %q, transports: [%q]", s.URL, name))
		p.Want("got", `["1","2"]`)
		wantEvents(p, `[{"type":"reset","seq":9},{"type":"lost","lost":"unknown","reason":"ahead"}]`)
		p.Run("comets[0].stop()")
		p.Close()
	}
}

// TestFromPosition: an instance goes on where another has stopped, also after a restart.
func TestFromPosition(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	p.Run("window.saved = ''")
	for i, name := range transports {
		stored := numbered("m", 3*i+1, 3*i+3)
		pushAll(s, "a", stored[:1])
		connect(p, "a", fmt.Sprintf("from: saved, seq: 1, transports: [%q]", name))
		pushAll(s, "a", stored[1:])
		p.Want("got", js(numbered("m", 1, 3*i+3)))
		p.Run("{ const c = comets.pop(); c.stop(); saved = c.position; }")
	}
	wantEvents(p, `[]`)
	p.Want("recoveries", fmt.Sprint(len(transports)-1))
	s.Kill()
	s.Restart()
	pushAll(s, "a", numbered("new ", 1, 30))
	p.Run("got.length = 0")
	connect(p, "a", "from: saved")
	p.Want("got", js(numbered("new ", 21, 30)))
	wantEvents(p, fmt.Sprintf(unknownFrom, 3*len(transports)+1))
	p.Run("try { new iComet({channel: 'a', subUrl: '/', from: 'nonsense'}) } catch (e) { window.mistake = e.name }")
	p.Want("mistake", `"TypeError"`)
	if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
		t.Errorf("errors in the page: %q", m)
	}
}

// TestEnd: who is there, who comes back having had all, and who comes later: each gets the
// whole channel and the event, and does not connect again.
func TestEnd(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			proxy := servertest.NewProxy(t, s.Front)
			p := b.Open(t, site.URL)
			defer p.Close()
			options := fmt.Sprintf("seq: 1, subUrl: %q, transports: [%q]", proxy.URL, name)
			connect(p, name, options)
			connect(p, name, options)
			s.WaitSubscribers(name, 2)
			s.Push(name, "m1")
			p.Want("got", `["m1","m1"]`)
			p.Run("comets[1].stop()")
			s.Call("/end", "cname", name)
			p.Want("comets[0].state", `"ended"`)
			wantEvents(p, `[{"type":"end"}]`)
			p.Run("comets[1].start()")
			p.Want("comets[1].state", `"ended"`)
			wantEvents(p, `[{"type":"end"}]`)
			connect(p, name, options)
			p.Want("comets[2].state", `"ended"`)
			p.Want("got", `["m1","m1","m1"]`)
			wantEvents(p, `[{"type":"end"}]`)
			n := proxy.Connections()
			p.Run("new Promise(r => setTimeout(r, 2000))") // many times the wait before it would come back
			if more := proxy.Connections() - n; more > 0 {
				t.Errorf("connected %d times after the end", more)
			}
			p.WantNoMistakes()
		})
	}
}
