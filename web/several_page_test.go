package web_test

import (
	"fmt"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// TestOneConnectionOfAPage: all clients of a page that ask the same server in the same way
// are on one connection; with multiplex: false they are not.
func TestOneConnectionOfAPage(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, c := range []struct {
		options string
		path    string
		want    int
	}{
		{"", "/ws", 1},
		{"transports: ['sse']", "/sse", 1},
		{"share: false", "/ws", 1},
		{"multiplex: false", "/ws", 3},
		{"multiplex: false, transports: ['sse']", "/sse", 3},
	} {
		proxy := newCounted(t, s.Front)
		p := b.Open(t, site.URL)
		p.Run(several)
		// As the pages of an application with parts that know nothing of each other.
		p.Run(fmt.Sprintf(`for (const channel of ['a', 'b']) connect({ channel, seq: 1, subUrl: %[1]q, callback: c => (per[channel] ||= []).push(c), %[2]s });
			several({ channels: ['c'], share: true, subUrl: %[1]q, %[2]s }); null`, proxy.URL, c.options))
		for _, name := range []string{"a", "b", "c"} {
			s.WaitSubscribers(name, 1)
			s.Push(name, "for "+name)
		}
		for _, name := range []string{"a", "b", "c"} {
			wantPer(p, name, []string{"for " + name})
		}
		// Another on the page, later, and one less.
		p.Run(fmt.Sprintf("several({ channels: ['d', 'e'], share: true, subUrl: %q, %s }); comets[0].stop()", proxy.URL, c.options))
		s.WaitSubscribers("a", 0)
		for _, name := range []string{"b", "c", "d", "e"} {
			s.WaitSubscribers(name, 1)
			s.Push(name, "again")
			p.Want("per."+name+".at(-1)", `"again"`)
		}
		p.Want("comets.map(c => c.state)", `["stopped","open","open","open"]`)
		if n := proxy.requests(c.path); c.path == "/ws" && c.want == 1 && n != 1 {
			t.Errorf("%s: %d WebSockets, want 1", c.options, n)
		} else if c.want > 1 && n != 5 {
			t.Errorf("%s: %d connections, want one for each of 5 channels", c.options, n)
		}
		p.Want("events", "[]")
		p.WantNoMistakes()
		p.Close()
		for _, name := range []string{"b", "c", "d", "e"} {
			s.Call("/close", "cname", name)
		}
		s.Call("/close", "cname", "a")
	}
}

// TestHundredsOfChannels: more than one connection may have, and more commands than the
// server takes at once.
func TestHundredsOfChannels(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, name := range []string{"ws", "sse"} {
		proxy := newCounted(t, s.Front)
		p := openSeveral(t, b, site, fmt.Sprintf("subUrl: %q, transports: [%q], channels: []", proxy.URL, name))
		p.Run(fmt.Sprintf("window.names = Array.from({ length: 250 }, (_, i) => %s + i); names.slice(0, 90).forEach(n => comets[0].add(n))", js(name+" channel with a name that is long ")))
		p.Want("comets[0].state", `"open"`)
		p.Run("names.slice(90).forEach(n => comets[0].add(n))")
		p.Want("names.filter(n => comets[0].channel(n).state !== 'open').length", "0")
		p.Run("names.slice(200).forEach(n => comets[0].remove(n))")
		s.WaitSubscribers(name+" channel with a name that is long 249", 0)
		s.Call("/broadcast", "content", "to all")
		p.Want("names.filter(n => (per[n] || []).join() === 'to all').length", "200")
		p.Want("events.concat(told)", "[]")
		if n := proxy.requests("/ws"); name == "ws" && n != 3 {
			t.Errorf("%d WebSockets, want 3", n)
		}
		p.WantNoMistakes()
		p.Close()
	}
}

// TestSlowCallback: while a callback works, longer than the client waits for a heartbeat,
// messages pile up. All of them come, in order and once, and those of the other channels.
func TestSlowCallback(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_POLLING_TIMEOUT=1", "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			slow, other := name+" slow", name+" other"
			p := openSeveral(t, b, site, fmt.Sprintf(`transports: [%q], channels: [%s, { channel: %s, callback: content => {
				(per.slow ||= []).push(content);
				if (content === 'm5') for (const end = performance.now() + 4000; performance.now() < end;);
			} }]`, name, js(other), js(slow)))
			defer p.Close()
			s.WaitSubscribers(slow, 1)
			s.WaitSubscribers(other, 1)
			for i := range 200 {
				s.Push(slow, fmt.Sprint("m", i+1))
				s.Push(other, fmt.Sprint("o", i+1))
			}
			wantPer(p, "slow", numbered("m", 1, 200))
			wantPer(p, other, numbered("o", 1, 200))
			p.Want("told.filter(t => !t.startsWith('recovered'))", "[]")
			p.Want("comets[0].state", `"open"`)
			p.Run("comets[0].stop()")
			p.WantNoMistakes()
		})
	}
}
