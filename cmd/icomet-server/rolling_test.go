package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"icomet/server/servertest"
)

// pair is two servers behind a proxy.
type pair struct {
	*behind
	servers [2]*daemon
	configs [2]string
}

// startPair runs the proxy with the example file, and the servers with the configuration
// lines that it names and those given.
func startPair(t *testing.T, proxy string, lines ...string) *pair {
	t.Helper()
	lines = append(lines, `front.trusted_proxies = ["127.0.0.1"]`, `limits.drain_timeout = "1s"`, `admin.listen = "127.0.0.1:0"`)
	if proxy == "haproxy" {
		lines = append(lines, "front.proxy_protocol = true")
	}
	var p pair
	var fronts [2]string
	for i := range p.servers {
		fronts[i] = ownAddress(t) // which stays its own over a restart
		p.configs[i] = writeConfig(t)
		rewriteWhole(t, p.configs[i], append(lines, fmt.Sprintf("front.listen = %q", fronts[i]))...)
		p.servers[i] = start(t, nil, p.configs[i])
	}
	p.behind = startProxy(t, proxy, "90s", "", fronts[0], fronts[1])
	return &p
}

// restart drains a server and starts it again; at the end the proxy sends clients to it.
func (p *pair) restart(i int) {
	p.t.Helper()
	p.servers[i].Send(syscall.SIGTERM)
	p.servers[i].WaitEnd(startLimit, 0)
	p.servers[i] = start(p.t, nil, p.configs[i])
	p.servers[i].checkFrontThrough(p.t, p.behind)
}

// TestRollingRestart restarts two servers one after the other behind the example files,
// while newcomers come all the time: every one of them is served.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	for _, proxy := range exampleProxies {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			p := startPair(t, proxy)
			var over atomic.Bool
			came := make(chan [2]int)
			go func() { came <- p.newcomers(&over) }()
			for i := range p.servers {
				for range 20 { // so that the drain takes its time
					p.stream("127.0.0.2", "/stream?cname=a&seq=1", false, nil)
				}
				p.restart(i)
			}
			over.Store(true)
			n := <-came
			t.Logf("%d of %d newcomers were not served", n[1], n[0])
			if n[1]*100 > n[0] {
				t.Errorf("%d of %d newcomers were not served\n%.3000s", n[1], n[0], p.log())
			}
		})
	}
}

// checkFrontThrough waits until the proxy sends clients to d again, which has had no /iframe
// before.
func (d *daemon) checkFrontThrough(t *testing.T, b *behind) {
	t.Helper()
	checkFor(t, startLimit, func() error {
		s := b.stream("127.0.0.3", "/iframe?cname=back", false, nil)
		defer s.resp.Body.Close()
		const none = `icomet_connections{role="front",transport="iframe"} 0` + "\n"
		if strings.Contains(fetch(t, "http://"+d.Address("admin")+"/metrics"), none) {
			return errors.New("the proxy sends nobody to it")
		}
		return nil
	})
}

// newcomers come one every 10 ms, each on a connection of its own, subscribe by WebSocket or
// poll, or ask, in turn; the result is how many there were and how many were not served.
func (b *behind) newcomers(over *atomic.Bool) (n [2]int) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for !over.Load() {
		<-pace.C
		path, want := "/ping?cb=", `"type":"ping"`
		if n[0]%2 == 1 {
			path, want = "/sub?cname=b", `"type":"next_seq"`
		}
		client := b.client("127.0.0.4", false)
		var body string
		var err error
		status := http.StatusOK
		if n[0]%3 == 2 {
			want = `"type":"next_seq"`
			body, err = b.newSocket(client)
		} else {
			status, body, err = servertest.ReadAnswer(client.Get(b.url + path))
		}
		client.CloseIdleConnections()
		n[0]++
		if err != nil || status != http.StatusOK || !strings.Contains(body, want) {
			n[1]++
		}
	}
	return n
}

// newSocket opens a WebSocket and returns its first message.
func (b *behind) newSocket(client *http.Client) (string, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), startLimit)
	defer cancel()
	conn, _, err := dialSocket(ctx, client, b.url+"/ws?cname=b", "")
	if err != nil {
		return "", err
	}
	defer conn.CloseNow()
	_, text, err := conn.Read(ctx)
	return string(text), err
}

// TestHAProxyWithFewDescriptors: the example file starts whatever the limit of open files
// is; it says how many clients that lets in.
func TestHAProxyWithFewDescriptors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir)
	text := example(t, "haproxy.cfg", "bind :443", "bind "+ownAddress(t), "/etc/ssl/icomet", dir, "log /dev/log local0", "log stdout format raw local0")
	if err := os.WriteFile(dir+"/config", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "ulimit -n 20000 && exec /usr/sbin/haproxy -db -f "+dir+"/config")
	out := new(servertest.Output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill(); <-ended }()
	checkFor(t, startLimit, func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("it ends with %v\n%s", err, out)
		default:
		}
		if strings.Contains(out.String(), "Server icomet/icomet1 is DOWN") { // it is at work
			return nil
		}
		return errors.New(out.String())
	})
}
