package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/server/servertest"
)

// cluster is several server processes on one Redis.
type cluster struct {
	t     *testing.T
	redis *redistest.Server
	nodes []*daemon
}

// patient and hasty are how long a node waits for Redis: while it is there all the time,
// none gives up because the machine is busy.
const patient = "30s"

var hasty = func() string {
	if torture() {
		return "800ms"
	}
	return "5s"
}()

func startCluster(t *testing.T, nodes int, timeout string, lines ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, redis: redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")}
	lines = append([]string{
		`engine.type = "redis"`, fmt.Sprintf("engine.redis.address = [%q]", c.redis.Addr()),
		fmt.Sprintf("engine.redis.timeout = %q", timeout), fmt.Sprintf("engine.redis.dial_timeout = %q", timeout),
		`engine.redis.node_timeout = "5s"`, "front.channel_buffer_size = 100000",
	}, lines...)
	for range nodes {
		c.nodes = append(c.nodes, start(t, nil, writeConfig(t, lines...)))
	}
	return c
}

var redisClient = &http.Client{Timeout: startLimit, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// call makes an admin request.
func (d *daemon) call(t *testing.T, path string) (status int, body string) {
	t.Helper()
	status, body, err := d.tryCall(t, path)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

func (d *daemon) tryCall(t *testing.T, path string) (status int, body string, err error) {
	return servertest.ReadAnswer(redisClient.Get("http://" + d.Address("admin") + path))
}

func (d *daemon) want(t *testing.T, path, want string) {
	t.Helper()
	if status, body := d.call(t, path); status != 200 || !strings.Contains(body, want) {
		t.Errorf("%s: %d %q, want %q", path, status, body, want)
	}
}

func (d *daemon) becomes(t *testing.T, path, want string) {
	t.Helper()
	checkFor(t, startLimit, func() error {
		if status, body := d.call(t, path); status != 200 || !strings.Contains(body, want) {
			return fmt.Errorf("%s: %d %q, want %q", path, status, body, want)
		}
		return nil
	})
}

var sixNames = []string{"c0", "c1", "c2", "c3", "c4", "c5"}

// TestThreeNodes: what one node is told, the other nodes know.
func TestThreeNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, patient, "front.channel_timeout = 2")
	all := c.followOn(sixNames, 1)
	for _, d := range c.nodes {
		d.becomes(t, "/info?cname=c0", `"subscribers": 3`)
		d.becomes(t, "/info", fmt.Sprintf(`"channels": 6, "subscribers": %d`, len(all)))
		d.want(t, "/check?cname=c0", `{"c0": 1}`)
		d.want(t, "/check?cname=none", `{}`)
		d.want(t, "/stats", `"type":"redis"`)
	}
	p := c.publish(sixNames)
	p.more(t, 300)
	p.end()
	p.check(t, all)
	_, first := c.nodes[0].call(t, "/sign?cname=s")
	if _, second := c.nodes[1].call(t, "/sign?cname=s"); first != second {
		t.Errorf("signed as %s and %s", first, second)
	}
	// The dashboard's list shows the node that was asked, and says so.
	c.nodes[0].want(t, "/push?cname=elsewhere&content=x", "ok")
	c.nodes[0].want(t, "/dashboard/channels", `"scope":"node"`)
	c.nodes[0].becomes(t, "/dashboard/channels", `"matched":6`)
	c.nodes[0].want(t, "/dashboard/channel?cname=elsewhere", `"scope":"node","there":false`)
	c.nodes[0].becomes(t, "/dashboard/channel?cname=c0", `"scope":"node","there":true`)
	c.nodes[2].want(t, "/broadcast?content=all", "ok")
	c.nodes[0].want(t, "/clear?cname=c1", "ok ")
	c.nodes[1].want(t, "/close?cname=s", "ok 2")
	if status, _ := c.nodes[0].call(t, "/close?cname=s"); status != 404 {
		t.Errorf("closed again: %d", status)
	}
	var report struct {
		Engine struct {
			Up    bool `json:"up"`
			Nodes []struct {
				Subscribers int `json:"subscribers"`
			} `json:"nodes"`
		} `json:"engine"`
	}
	checkFor(t, startLimit, func() error {
		_, body := c.nodes[0].call(t, "/stats")
		if err := json.Unmarshal([]byte(body), &report); err != nil {
			return err
		}
		if !report.Engine.Up || len(report.Engine.Nodes) != 3 || report.Engine.Nodes[0].Subscribers != 6 {
			return fmt.Errorf("stats: %+v", report.Engine)
		}
		return nil
	})
}

// TestPresenceOfThreeNodes reads /psub on each.
func TestPresenceOfThreeNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, patient, "front.channel_timeout = 1")
	var streams []*bufio.Reader
	for _, d := range c.nodes {
		resp, err := http.Get("http://" + d.Address("admin") + "/psub")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		streams = append(streams, bufio.NewReader(resp.Body))
	}
	c.nodes[1].want(t, "/push?cname=a&content=x", "ok")
	for i, r := range streams {
		online, offline := false, false
		for !offline {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("node %d: %v", i, err)
			}
			online, offline = online || line == "1 a\n", line == "0 a\n"
		}
		if !online {
			t.Errorf("node %d: offline without online", i)
		}
	}
}

// TestKillNode kills a node under load. Its clients continue on the other nodes with
// their seq, and miss nothing.
func TestKillNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, patient)
	all := c.follow(sixNames)
	p := c.publish(sixNames)
	p.more(t, 300)
	if err := c.nodes[2].Cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.more(t, 300)
	c.nodes[0].becomes(t, "/info?cname=c0", `"subscribers": 3`) // the dead node's subscribers are not counted twice
	p.end()
	p.check(t, all)
}

// TestKillRedisProcess kills Redis under load and starts it again.
func TestKillRedisProcess(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, hasty)
	all := c.follow(sixNames)
	p := c.publish(sixNames)
	p.more(t, 200)
	c.redis.Kill()
	p.mu.Lock()
	before := p.refused
	p.mu.Unlock()
	checkFor(t, startLimit, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.refused < before+20 {
			return fmt.Errorf("%d publishes are refused, want 20", p.refused-before)
		}
		return nil
	})
	c.redis.Start()
	p.more(t, 200)
	p.end()
	if p.slowest > 800*time.Millisecond+lateness {
		t.Errorf("an answer took %v", p.slowest)
	}
	p.check(t, all)
	for _, f := range all {
		if f.seen != 1 {
			t.Errorf("%s had to connect %d times: subscribers stay connected while Redis is away", f.name, f.seen)
		}
	}
}

// TestFlushAllUnderNodes: the clients are told where to go on.
func TestFlushAllUnderNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, patient)
	all := c.follow([]string{"c0"})
	c.nodes[0].becomes(t, "/info?cname=c0", `"subscribers": 2`)
	for i := range 5 {
		c.nodes[i%2].want(t, fmt.Sprintf("/push?cname=c0&content=old%d", i), "ok")
	}
	for _, f := range all {
		checkFor(t, startLimit, func() error { return f.has([]string{"old0", "old4"}) })
	}
	c.redis.CLI("flushall")
	for i := range 3 {
		c.nodes[i%2].want(t, fmt.Sprintf("/push?cname=c0&content=new%d", i), "ok")
	}
	for _, f := range all {
		checkFor(t, startLimit, func() error { return f.has([]string{"new0", "new1", "new2"}) })
		if f.told != 1 || f.seen != 1 {
			t.Errorf("told %d times, connected %d times", f.told, f.seen)
		}
	}
}

// TestReadyWithRedis: a load balancer's probe gets 503 while Redis is away, but not for
// one broken connection, and 200 again when Redis has been back for a while. The process
// stays healthy all the time.
func TestReadyWithRedis(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, hasty)
	d := c.nodes[0]
	c.follow([]string{"c0"})
	d.want(t, "/readyz", "ok")
	status := func() int {
		t.Helper()
		d.want(t, "/healthz", "ok")
		code, body := d.call(t, "/readyz")
		if want := "redis " + c.redis.Addr() + " does not answer\n"; code != 200 && (code != 503 || body != want) {
			t.Fatalf("%d %q, want %q", code, body, want)
		}
		return code
	}
	// becomes is how long it takes from do on.
	becomes := func(want int, do func()) time.Duration {
		t.Helper()
		start := time.Now()
		do()
		checkFor(t, startLimit, func() error {
			if code := status(); code != want {
				return fmt.Errorf("readyz says %d, want %d", code, want)
			}
			return nil
		})
		return time.Since(start)
	}
	// stays checks for as long as a change would take; on a busy machine it may change.
	stays := func(want int, d time.Duration) {
		t.Helper()
		if !torture() {
			return
		}
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if code := status(); code != want {
				t.Fatalf("readyz says %d, want %d all the time", code, want)
			}
		}
	}
	c.redis.CLI("client", "kill", "type", "pubsub")
	stays(200, 1500*time.Millisecond)
	if d := becomes(503, c.redis.Kill); d < 900*time.Millisecond || d > 2300*time.Millisecond+lateness {
		t.Errorf("not ready after %v", d)
	}
	stays(503, 300*time.Millisecond)
	if d := becomes(200, c.redis.Start); d < 1500*time.Millisecond {
		t.Errorf("ready again %v after Redis is back", d)
	}
	d.want(t, "/push?cname=c0&content=x", "ok")
	stays(200, 300*time.Millisecond)
	// Redis hangs and nobody publishes: that must be noticed too.
	if d := becomes(503, func() { c.redis.Signal(syscall.SIGSTOP) }); d > 7300*time.Millisecond+lateness {
		t.Errorf("not ready after %v of silence", d)
	}
	becomes(200, func() { c.redis.Signal(syscall.SIGCONT) })
}
