package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"icomet/server/config"
	"icomet/server/servertest"
)

// modelVariable is how many random histories each of the model's servers lives through.
const modelVariable = "ICOMET_MODEL_CHECKS"

// modelChannel is a channel as the protocol describes it. It always has a keeper, a
// subscriber that stays, so that it ends only when the test wants it.
type modelChannel struct {
	name  string
	next  int64
	kept  []servertest.Message
	token string
	subs  []*modelSub // the keeper comes first
}

// modelWorld is a server and the model of it.
type modelWorld struct {
	s       *testServer
	admin   *http.Client
	cfg     config.Config
	prefix  string
	model   map[string]*modelChannel
	all     []*modelSub // also those that have ended
	expired int         // channels that were left to expire: it takes a second
	tokens  []string
	sent    int
}

// TestModel does random things over sockets, on servers of their own at the same
// time; channel/modeltest does the same, faster, to the hub alone.
func TestModel(t *testing.T) {
	t.Parallel()
	checks := 12
	if n, err := strconv.Atoi(os.Getenv(modelVariable)); err == nil {
		checks = n
	}
	// Slow ones fail by the model's own patience; shrinking over sockets is slow.
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa(checks), "rapid.shrinktime": "10s"} {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			modelServer(t)
		})
	}
}

func modelServer(t *testing.T) {
	var cfg config.Config
	s := startServer(t, func(c *config.Config) {
		c.Front.ChannelTimeout, c.Front.PollingTimeout = 1, 3600
		c.Limits.SendBuffer = 4096
		cfg = *c
	})
	admin := &http.Client{Timeout: patience, Transport: servertest.Transport()}
	t.Cleanup(admin.CloseIdleConnections)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		w := &modelWorld{s: s, admin: admin, cfg: cfg, prefix: fmt.Sprintf("h%d-", n), model: make(map[string]*modelChannel)}
		t.Cleanup(w.hangUp)
		w.cfg.Front.Auth = rapid.SampledFrom([]string{"none", "token"}).Draw(t, "auth")
		w.reload(t)
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": w.subscribe, "subscribe2": w.subscribe,
			"publish": w.publish, "publish2": w.publish, "publish3": w.publish,
			"broadcast": w.broadcast, "clear": w.clear, "close": w.close, "sign": w.sign,
			"expire": w.expire, "disconnect": w.disconnect, "slow": w.slow, "flood": w.flood,
			"poll": w.poll, "poll2": w.poll, "settle": w.settle, "reload": w.reload,
		})
		w.end(t)
	})
	admin.CloseIdleConnections()
	checkFor(t, patience, s.checkIdle)
}

func (w *modelWorld) drawName(t *rapid.T) string {
	return w.prefix + strconv.Itoa(rapid.IntRange(0, 3).Draw(t, "channel"))
}

// call makes an admin request in one of its forms.
func (w *modelWorld) call(t *rapid.T, path string, args ...string) string {
	values := url.Values{}
	flat := make(map[string]string)
	for i := 0; i < len(args); i += 2 {
		values.Set(args[i], args[i+1])
		flat[args[i]] = args[i+1]
	}
	target := servertest.URL(w.s.admin) + path
	method, body, kind := "GET", "", ""
	switch form := rapid.IntRange(0, 2).Draw(t, "form"); {
	case form == 0 && len(values.Encode()) < 4000:
		target += "?" + values.Encode()
	case form == 1:
		b, _ := json.Marshal(flat)
		method, body, kind = "POST", string(b), "application/json"
	default:
		method, body, kind = "POST", values.Encode(), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	resp, err := w.admin.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 && resp.StatusCode != 404 {
		t.Fatalf("%s: %d %s %v", path, resp.StatusCode, answer, err)
	}
	return string(answer)
}

// reload sets how many messages are kept, from the next one on.
func (w *modelWorld) reload(t *rapid.T) {
	w.cfg.Front.ChannelBufferSize = rapid.IntRange(1, 8).Draw(t, "buffer size")
	if err := w.s.Reload(w.cfg); err != nil {
		t.Fatal(err)
	}
}

func (w *modelWorld) content(t *rapid.T) string {
	w.sent++
	text := strings.ReplaceAll(rapid.StringN(0, 20, 80).Draw(t, "content"), "\x00", "")
	return fmt.Sprint(w.sent, " ", strings.ToValidUTF8(text, "?"))
}

// store is what a publish does to the model.
func (w *modelWorld) store(c *modelChannel, typ, content string) {
	m := servertest.Message{Type: typ, Cname: c.name, Seq: c.next, Content: content}
	c.next++
	c.kept = append(c.kept, m)
	c.kept = slices.Clone(c.kept[max(0, len(c.kept)-w.cfg.Front.ChannelBufferSize):])
	for _, sub := range c.subs {
		sub.expect(m)
	}
}

func (w *modelWorld) publish(t *rapid.T) {
	w.publishTo(t, w.drawName(t), w.content(t))
}

func (w *modelWorld) publishTo(t *rapid.T, name, content string) {
	path, sent := "/push", content
	if rapid.Bool().Draw(t, "encoded") {
		b, _ := json.Marshal(content)
		path, sent = "/pub", string(b[1:len(b)-1])
	}
	w.known(t, name, func() {
		if got := w.call(t, path, "cname", name, "content", sent); got != "{\"type\":\"ok\"}\n" {
			t.Fatalf("%s: %q", path, got)
		}
	}, func(c *modelChannel) { w.store(c, "data", content) })
}

// known does something that creates the channel when it is new, tells the model, and
// sees to it that the channel has a keeper.
func (w *modelWorld) known(t *rapid.T, name string, do func(), tell func(*modelChannel)) {
	c, begun := w.model[name], time.Now()
	if do(); c != nil {
		tell(c)
		return
	}
	c = &modelChannel{name: name, next: 1}
	tell(c)
	w.model[name] = c
	w.keep(t, c)
	if time.Since(begun) > 900*time.Millisecond { // it may have expired in between
		w.call(t, "/close", "cname", name)
		w.drop(c)
	}
}

// keep gives a channel its keeper.
func (w *modelWorld) keep(t *rapid.T, c *modelChannel) {
	if w.cfg.Front.Auth == "token" && c.token == "" {
		w.signed(t, c)
	}
	c.subs = append(c.subs, w.join(t, c, "stream", 0))
}

func (w *modelWorld) broadcast(t *rapid.T) {
	content := w.content(t)
	if got := w.call(t, "/broadcast", "content", content); got != "ok\n" {
		t.Fatalf("broadcast: %q", got)
	}
	for _, c := range w.model {
		w.store(c, "broadcast", content)
	}
}

func (w *modelWorld) clear(t *rapid.T) {
	name := w.drawName(t)
	if c := w.answered(t, name, w.call(t, "/clear", "cname", name)); c != nil {
		c.kept = nil
	}
}

// answered compares the answer of clear or close.
func (w *modelWorld) answered(t *rapid.T, name, answer string) *modelChannel {
	c, want := w.model[name], "channel["+name+"] not connected\n"
	if c != nil {
		want = fmt.Sprintf("ok %d\n", c.next)
	}
	if answer != want {
		t.Fatalf("%q, want %q", answer, want)
	}
	return c
}

func (w *modelWorld) close(t *rapid.T) {
	name := w.drawName(t)
	if c := w.answered(t, name, w.call(t, "/close", "cname", name)); c != nil {
		for _, sub := range c.subs {
			sub.expect(servertest.Message{Type: "close", Cname: name, Seq: c.next})
			sub.ends = true
		}
		delete(w.model, name)
	}
}

func (w *modelWorld) sign(t *rapid.T) {
	name := w.drawName(t)
	if c := w.model[name]; c != nil {
		w.signed(t, c)
		return
	}
	w.known(t, name, func() {}, func(c *modelChannel) { w.signed(t, c) })
}

// signed compares what sign answers with the model.
func (w *modelWorld) signed(t *rapid.T, c *modelChannel) {
	var got struct {
		Seq     int64  `json:"seq"`
		Token   string `json:"token"`
		Expires int    `json:"expires"`
	}
	answer := w.call(t, "/sign", "cname", c.name, "expires", "1")
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		t.Fatalf("sign: %q", answer)
	}
	seq := c.next
	if len(c.kept) > 0 {
		seq = c.kept[0].Seq
	}
	if got.Seq != seq || got.Expires != 1 || len(got.Token) != 32 || c.token != "" && got.Token != c.token {
		t.Fatalf("sign: %q, want seq %d, token %q", answer, seq, c.token)
	}
	if c.token == "" && slices.Contains(w.tokens, got.Token) {
		t.Fatalf("%s has a token that was another's: %s", c.name, got.Token)
	}
	c.token = got.Token
	w.tokens = append(w.tokens, c.token)
}

// expire lets everybody leave a channel, which then ends in its time.
func (w *modelWorld) expire(t *rapid.T) {
	name := w.drawName(t)
	c := w.model[name]
	if c == nil || w.expired > 0 || rapid.IntRange(0, 2).Draw(t, "expires") > 0 {
		return
	}
	w.expired++
	w.settle(t)
	w.drop(c)
	err := servertest.Poll(patience, func() error {
		if w.s.hub.Alive([]byte(name)) {
			return fmt.Errorf("%s is alive", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.call(t, "/check", "cname", name); got != "{}\n" {
		t.Fatalf("check of %s: %s", name, got)
	}
}

// drop forgets a channel and its subscribers.
func (w *modelWorld) drop(c *modelChannel) {
	for _, sub := range c.subs {
		sub.hangUp()
	}
	delete(w.model, c.name)
}
