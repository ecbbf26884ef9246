package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/server/servertest"
)

// TestRollingRestartWebSockets restarts two servers on one Redis one after the other behind
// the example files. Clients made with the package ws, with two channels each, come back with
// their positions: they have every message once, in order, and are told so.
func TestRollingRestartWebSockets(t *testing.T) {
	t.Parallel()
	needNpm(t)
	for _, proxy := range exampleProxies {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			lines := []string{
				`engine.type = "redis"`, fmt.Sprintf("engine.redis.address = [%q]", redistest.Start(t).Addr()),
				fmt.Sprintf("engine.redis.timeout = %q", patient), fmt.Sprintf("engine.redis.dial_timeout = %q", patient),
				"front.channel_buffer_size = 100000", "front.channel_timeout = 600",
			}
			p := startPair(t, proxy, lines...)
			aside := start(t, nil, writeConfig(t, lines...)) // to publish, and not behind the proxy
			const clients = 12
			names := []string{"a", "b"}
			cmd := exec.Command("node", append([]string{
				"testdata/clients/reconnect.mjs", fmt.Sprint(clients), "wss" + strings.TrimPrefix(p.url, "https") + "/ws",
			}, names...)...)
			cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+p.cert)
			output := startHelper(t, cmd)

			var over atomic.Bool
			last := make(chan int, 1)
			go func() { last <- aside.count(t, names, &over) }()
			wantOpened(t, output, clients, 1)
			for i := range p.servers {
				p.restart(i)
			}
			wantOpened(t, output, clients, 2)
			over.Store(true)
			wantCounted(t, output, clients, names, <-last)
		})
	}
}

// count publishes 1, 2, 3… to each of the channels until over. It returns the last.
func (d *daemon) count(t *testing.T, names []string, over *atomic.Bool) (n int) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for !over.Load() {
		<-pace.C
		n++
		for _, cname := range names {
			status, body, err := servertest.Get(fmt.Sprintf("http://%s/push?cname=%s&content=%d", d.Address("admin"), cname, n))
			if err != nil || status != http.StatusOK {
				t.Errorf("publishing: %d %s %v", status, body, err)
			}
		}
	}
	return n
}

// wantOpened waits until each client of reconnect.mjs has opened that many WebSockets.
func wantOpened(t *testing.T, output *servertest.Output, clients, times int) {
	t.Helper()
	checkFor(t, startLimit, func() error {
		log := "\n" + output.String()
		for n := range clients {
			if got := strings.Count(log, fmt.Sprintf("\n%d open\n", n)); got < times {
				return fmt.Errorf("client %d has opened %d WebSockets, want %d\n%.3000s", n, got, times, log)
			}
		}
		return nil
	})
}

// wantCounted waits until each client has what count has published, and checks all it got.
func wantCounted(t *testing.T, output *servertest.Output, clients int, names []string, last int) {
	t.Helper()
	checkFor(t, startLimit, func() error {
		log := output.String()
		for _, cname := range names {
			text := fmt.Sprintf(`message {"type":"data","cname":%q,"seq":%d,`, cname, last)
			if got := strings.Count(log, text); got < clients {
				return fmt.Errorf("%d of %d clients have message %d of %s\n%.3000s", got, clients, last, cname, log)
			}
		}
		return nil
	})
	next := map[string]int{} // by client and channel, the last that it has
	ends, notes := map[string]int{}, []string{}
	for line := range strings.Lines(output.String()) {
		client, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		text, isMessage := strings.CutPrefix(what, "message ")
		if !isMessage {
			if strings.HasPrefix(what, "closed ") {
				ends[what]++
			} else if what != "open" {
				notes = append(notes, line)
			}
			continue
		}
		var m servertest.Message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		had := next[client+m.Cname]
		switch {
		case m.Type == "data" && m.Seq == int64(had+1) && m.Content == fmt.Sprint(m.Seq):
			next[client+m.Cname]++
		case m.Type == "position" && m.Recovered && m.Lost == 0 && m.Seq == int64(had+1):
		default:
			t.Fatalf("after %d of %s client %s got %s", had, m.Cname, client, text)
		}
	}
	slices.Sort(notes)
	t.Logf("%d messages to each of %d clients; ends: %v; failures: %q", last*len(names), clients, ends, notes)
	if len(ends) != 1 || ends["closed 1001"] < clients {
		t.Errorf("the WebSockets ended with %v, want 1001 each", ends)
	}
}
