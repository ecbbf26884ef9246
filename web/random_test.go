package web_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// history is what was published to one channel, as "EPOCH-SEQ", in order. Lives without a
// message are not in it: nobody has missed any of them.
type history struct {
	s   *servertest.Server
	all []string
}

func (h *history) push(t *testing.T, n int) {
	t.Helper()
	for range n {
		var answer struct {
			Epoch string
			Seq   int64
		}
		text := h.s.Call("/push", "cname", "a", "content", "x", "position", "1")
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		h.all = append(h.all, fmt.Sprintf("%s-%d", answer.Epoch, answer.Seq))
	}
}

// logged makes a client write down what it is told: positions of messages, "recovered",
// "lost unknown" and "lost FROM TO".
const logged = `
window.logs = [];
function logged(options, log) {
	if (!log) logs.push(log = []);
	const comet = connect({ channel: 'a', seq: 1, retryMax: 100, ...options });
	comet.reloaded = () => logged({ ...options, from: comet.position }, log);
	comet.on('message', e => log.push(e.position));
	comet.on('recovered', () => log.push('recovered'));
	comet.on('lost', e => log.push(e.lost === 'unknown' ? 'lost unknown' : 'lost ' + e.lost.from + ' ' + e.lost.to));
	comet.on('close', () => setTimeout(() => comets.includes(comet) && comet.start()));
} null`

// others puts clients on connections with other channels, which come and go.
const others = `{
	let changes = 0;
	for (const transport of ['ws', 'sse']) {
		const options = { subUrl: %q, share: false, transports: [transport] };
		logged(options);
		const comet = new iComet({ ...options, channels: ['b', 'c'], retryMin: 50, retryMax: 100 });
		setInterval(() => {
			const name = 'other ' + changes++ %% 3;
			if (!comet.remove(name)) comet.add(name);
		}, 150);
	}
} null`

// check compares what a client was told with what happened. Whatever it has not had it was
// told of, before the next message that it had; and it was told of nothing else.
func (h *history) check(log []string) error {
	at := 0 // in h.all: what is due next
	losses := []string{}
	recovered := false
	for i, entry := range log {
		switch {
		case entry == "recovered":
			recovered = true
			continue
		case strings.HasPrefix(entry, "lost"):
			losses = append(losses, entry)
			continue
		}
		found := slices.Index(h.all[at:], entry)
		if found < 0 {
			return fmt.Errorf("entry %d, %s, comes twice, too late, or was never published", i, entry)
		}
		missed := h.all[at : at+found]
		epoch, _, _ := strings.Cut(entry, "-")
		same := at > 0 && strings.HasPrefix(h.all[at-1], epoch)
		switch {
		case len(missed) > 0 && len(losses) == 0:
			return fmt.Errorf("entry %d, %s: %q were missed, and nothing was said (recovered: %v)", i, entry, missed, recovered)
		case same && len(missed) == 0 && len(losses) > 0:
			return fmt.Errorf("entry %d, %s: nothing was missed, but it was told %q", i, entry, losses)
		case same && len(missed) > 0:
			from, to := 0, 0
			for _, l := range losses {
				var a, b int
				if _, err := fmt.Sscanf(l, "lost %d %d", &a, &b); err != nil || (to > 0 && a != to+1) {
					return fmt.Errorf("entry %d, %s: %q were missed, and it was told %q", i, entry, missed, losses)
				}
				if from == 0 {
					from = a
				}
				to = b
			}
			first, last := fmt.Sprintf("%s-%d", epoch, from), fmt.Sprintf("%s-%d", epoch, to)
			if first != missed[0] || last != missed[len(missed)-1] {
				return fmt.Errorf("entry %d, %s: %q were missed, and it was told %q", i, entry, missed, losses)
			}
		}
		at += found + 1
		losses, recovered = losses[:0], false
	}
	if at != len(h.all) {
		return fmt.Errorf("%d messages did not come", len(h.all)-at)
	}
	return nil
}

// TestRandomHistories: clients of all transports and tabs that share, through random
// breaks, restarts with and without a snapshot, closes, clears and floods.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	rounds := 2
	if servertest.Punctual {
		rounds = 50
	}
	for range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomHistory(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func randomHistory(t *testing.T, random *rand.Rand) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600", "ICOMET_ENGINE_SNAPSHOT="+t.TempDir()+"/channels")
	proxy := servertest.NewProxy(t, s.Front)
	h := &history{s: s}
	b := browser.Start(t)
	site := newSite(t, s.Front)
	pages := []*browser.Page{}
	for range 3 {
		p := b.Open(t, site.with(s.Front))
		pages = append(pages, p)
		p.Run(logged)
		p.Run(fmt.Sprintf("logged({ subUrl: %q }); null", proxy.URL)) // they share
	}
	for i, name := range transports {
		// A browser has six connections to a host.
		pages[i%2].Run(fmt.Sprintf("logged({ subUrl: %q, share: false, transports: [%q] }); null", proxy.URL, name))
	}
	amongOthers := browser.Start(t).Open(t, site.with(s.Front))
	pages = append(pages, amongOthers)
	amongOthers.Run(logged)
	amongOthers.Run(fmt.Sprintf(others, proxy.URL))
	h.push(t, 1)
	for _, p := range pages {
		p.Want("logs.every(l => l.length > 0)", "true")
	}
	var did []string
	for range 25 {
		what := []string{"push", "push", "flood", "cut", "cut", "kill", "drain", "close", "clear", "pause", "reload", "wait"}[random.IntN(12)]
		did = append(did, what)
		switch what {
		case "push":
			h.push(t, 1+random.IntN(4))
		case "flood":
			h.push(t, 8+random.IntN(20))
		case "cut":
			proxy.Cut()
		case "kill":
			s.Kill()
			s.Restart()
		case "drain":
			s.Stop()
			s.Restart()
		case "close":
			h.push(t, 1) // it has to be there
			s.Call("/close", "cname", "a")
		case "clear":
			h.push(t, 1)
			s.Call("/clear", "cname", "a")
		case "pause":
			p := pages[random.IntN(len(pages))]
			p.Run("comets[0].stop()")
			h.push(t, random.IntN(15))
			p.Run("comets[0].start()")
		case "reload": // another instance, with nothing but the position
			p := pages[random.IntN(len(pages))]
			p.Run("window.old = comets.shift(); old.stop()")
			h.push(t, random.IntN(15))
			p.Run("old.reloaded(); null")
		case "wait":
			for _, p := range pages {
				p.Want("comets.every(c => c.state === 'open')", "true")
			}
		}
	}
	h.push(t, 1)
	last := h.all[len(h.all)-1]
	for i, p := range pages {
		p.Want("logs.every(l => l.includes('"+last+"'))", "true")
		var logs [][]string
		if err := json.Unmarshal([]byte(p.Text("JSON.stringify(logs)")), &logs); err != nil {
			t.Fatal(err)
		}
		for k, log := range logs {
			text := strings.Join(log, " ")
			t.Logf("page %d, client %d: %d lost, %d recovered", i, k, strings.Count(text, "lost"), strings.Count(text, "recovered"))
			if err := h.check(log); err != nil {
				t.Errorf("page %d, client %d: %v\nafter %s\nits log: %q", i, k, err, strings.Join(did, " "), log)
			}
		}
		if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
			t.Errorf("errors in the page: %q", m)
		}
		p.Run("comets.forEach(c => c.stop())")
	}
}
