//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"icomet/bench/protocol"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

// joined is a server that is told after the handshake what a connection subscribes to, as
// Centrifugo's library is.
type joined struct {
	refuse string // the end of a channel's name
	mu     sync.Mutex
	subs   map[string][]*websocket.Conn
	sent   map[string]int
}

func startJoined(t *testing.T, j *joined) target.Target {
	j.subs, j.sent = map[string][]*websocket.Conn{}, map[string]int{}
	front := httptest.NewServer(http.HandlerFunc(j.front))
	mux := http.NewServeMux() // the harness also asks for /stats
	mux.HandleFunc("POST /pub", j.publish)
	admin := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	t.Cleanup(admin.Close)
	return target.Target{Dialect: protocol.DialectCentrifuge,
		Running: []target.Node{{Front: front.Listener.Addr().String(), Admin: admin.Listener.Addr().String()}}}
}

func (j *joined) front(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	_, text, err := c.Read(r.Context())
	if err != nil {
		return
	}
	for line := range bytes.Lines(text) {
		var command struct {
			ID        int
			Subscribe struct{ Channel string }
		}
		answer := "nonsense"
		if json.Unmarshal(line, &command) == nil {
			answer = fmt.Sprintf(`{"id":%d,"subscribe":{}}`, command.ID)
		}
		name := command.Subscribe.Channel
		if j.refuse != "" && strings.HasSuffix(name, j.refuse) {
			answer = fmt.Sprintf(`{"id":%d,"error":{"code":103,"message":"permission denied"}}`, command.ID)
		}
		// What is published meanwhile comes after the answer.
		j.mu.Lock()
		j.subs[name] = append(j.subs[name], c)
		err := c.Write(r.Context(), websocket.MessageText, []byte(answer))
		j.mu.Unlock()
		if err != nil {
			return
		}
	}
	c.Read(r.Context()) // until it goes
}

func (j *joined) publish(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	name := r.URL.Query().Get("c")
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent[name]++
	push := fmt.Sprintf(`{"push":{"channel":"%s","pub":{"data":"%s","offset":%d}}}`, name, content, j.sent[name])
	for _, c := range j.subs[name] {
		_ = c.Write(context.WithoutCancel(r.Context()), websocket.MessageText, []byte(push)) // its reader may have gone
	}
}

// TestJoin: a subscription that says after the handshake what it wants is up when that is
// answered, and what is refused is found.
func TestJoin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, scenario string
		options        scenario.Options
	}{
		{"one channel", "fanout", scenario.Options{Subscribers: 10}},
		{"several", "multi", scenario.Options{Subscribers: 10, Channels: 20, Each: 5, Publishers: 4}},
		{"coming and going", "churn", scenario.Options{Subscribers: 8}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := test.options
			o.Transport, o.Duration, o.Drain, o.Timeout, o.Slow = protocol.WS, 300*time.Millisecond, time.Minute, time.Minute, -1
			s, err := scenario.Preset(test.scenario, o)
			if err != nil {
				t.Fatal(err)
			}
			if r := mustRun(t, s, startJoined(t, &joined{})); r.Failures != 0 || r.Total.Deliveries == 0 || r.Total.Connected < int64(o.Subscribers) {
				t.Errorf("%d connected: %s", r.Total.Connected, r.Verdict())
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		s, err := scenario.Preset("idle", scenario.Options{Subscribers: 10, Transport: protocol.WS, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if r := mustRun(t, s, startJoined(t, &joined{refuse: "-7"})); r.Total.ConnectFailed != 1 || r.Total.Connected != 9 || !strings.Contains(r.FirstFailure, "permission denied") {
			t.Errorf("%d connected: %s", r.Total.Connected, r.Verdict())
		}
	})
}
