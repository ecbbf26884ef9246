package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"icomet/server/servertest"
)

// eventSources are the clients that testdata/clients/eventsource.mjs knows.
var eventSources = []string{"eventsource", "event-source-polyfill", "undici", "eventsource-client", "fetch-event-source"}

// plainProxies pass everything on and have no other line about it, as most do in the field.
// LISTEN, SERVER and DIR are replaced.
var plainProxies = map[string]struct{ config, path string }{
	"nginx": {`events {}
pid DIR/pid;
error_log DIR/error.log;
http {
	access_log off;
	client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
	gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;
	server { listen LISTEN; location / { proxy_pass http://SERVER; } }
}
`, "/usr/sbin/nginx"},
	"haproxy": {`defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	compression algo gzip
	compression type text/event-stream
frontend f
	bind LISTEN
	default_backend b
backend b
	server s SERVER
`, "/usr/sbin/haproxy"},
	"caddy": {`{
	admin off
	default_bind 127.0.0.1
	auto_https off
	storage file_system DIR
}
http://LISTEN {
	encode gzip
	reverse_proxy SERVER
}
`, "/usr/bin/caddy"},
}

// startPlain runs a proxy in front of a server's address until the end of the test, and
// returns its URL.
func startPlain(t *testing.T, proxy, server string) string {
	t.Helper()
	dir, listen := t.TempDir(), ownAddress(t)
	p := plainProxies[proxy]
	config := filepath.Join(dir, "config")
	text := strings.NewReplacer("LISTEN", listen, "SERVER", strings.TrimPrefix(server, "http://"), "DIR", dir).Replace(p.config)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-db", "-f", config}
	switch proxy {
	case "caddy":
		args = []string{"run", "--config", config, "--adapter", "caddyfile"}
	case "nginx":
		args = []string{"-p", dir, "-c", config, "-e", dir + "/start.log", "-g", "daemon off; master_process off;"}
	}
	startHelper(t, exec.Command(p.path, args...))
	url := "http://" + listen
	checkFor(t, startLimit, func() error {
		_, _, err := servertest.Get(url + "/ping")
		return err
	})
	return url
}

// startHelper runs a program until the end of the test and returns what it writes.
func startHelper(t *testing.T, cmd *exec.Cmd) *servertest.Output {
	t.Helper()
	output := new(servertest.Output)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test-needs installs it", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(startLimit, func() { cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	})
	return output
}

// needNpm skips the test where npm could not be reached.
func needNpm(t *testing.T) {
	t.Helper()
	if !npmThere() {
		t.Skip("the clients are not there: make test-needs gets them from npm")
	}
}

func npmThere() bool {
	_, err := os.Stat("testdata/clients/node_modules")
	return err == nil
}

// TestEventSources: the clients that people use, straight, over TLS and through proxies that are told
// nothing but where the server is, with a channel and with two. A silent stream opens, each
// message comes before the next is published, and after a break they go on where they were.
func TestEventSources(t *testing.T) {
	t.Parallel()
	needNpm(t)
	for _, way := range []string{"direct", "TLS", "nginx", "haproxy", "caddy"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			start := servertest.Start
			if way == "TLS" {
				start = servertest.StartTLS
			}
			s := start(t)
			link := servertest.NewProxy(t, s.Front)
			url := link.URL
			if plainProxies[way].path != "" {
				url = startPlain(t, way, link.URL)
			}
			node := exec.Command("node", "testdata/clients/eventsource.mjs",
				url+"/sse?cname=a&seq=1", url+"/sse?cname=a&seq=1&cname=b&seq=1")
			node.Env = servertest.Trusting()
			output := startHelper(t, node)
			one, two := []string{}, []string{} // what each has had, by URL
			wantMessages := func() {
				t.Helper()
				wantLines(t, output, 0, "message ", one)
				wantLines(t, output, 1, "message ", two)
			}
			push := func(cname, content string, seq int) {
				t.Helper()
				s.Push(cname, content)
				line := fmt.Sprintf(`{"type":"data","cname":%q,"seq":%d,"content":%q}`, cname, seq, content)
				if cname == "a" {
					one = append(one, line)
				}
				two = append(two, line)
			}
			for n := range 2 {
				wantLines(t, output, n, "open", []string{""})
			}
			s.WaitSubscribers("a", 2*len(eventSources))
			for seq, content := range []string{"one", "two"} {
				push("a", content, seq+1)
				wantMessages()
				push("b", content, seq+1)
				wantMessages()
			}
			link.Cut()
			push("a", "three", 3)
			push("b", "three", 3)
			push("b", "four", 4)
			wantMessages()
			for n := range 2 {
				wantLines(t, output, n, "open", []string{"", ""})
			}
		})
	}
}

// wantLines waits until each client of eventsource.mjs has printed these lines about the URL
// number n. Those of different channels may come in any order.
func wantLines(t *testing.T, output *servertest.Output, n int, word string, want []string) {
	t.Helper()
	for _, client := range eventSources {
		checkFor(t, startLimit, func() error {
			var got []string
			for line := range strings.Lines(output.String()) {
				if text, found := strings.CutPrefix(line, fmt.Sprintf("%s %d %s", client, n, word)); found {
					got = append(got, strings.TrimSpace(text))
				}
			}
			if !slices.Equal(byChannel(got), byChannel(want)) {
				return fmt.Errorf("%s has %q, want %q in\n%s", client, got, want, output)
			}
			return nil
		})
	}
}

// byChannel brings the lines of each channel together, in their order.
func byChannel(lines []string) []string {
	lines = slices.Clone(lines)
	slices.SortStableFunc(lines, func(a, b string) int {
		return cmp.Compare(strings.Index(a, `"cname":"b"`), strings.Index(b, `"cname":"b"`))
	})
	return lines
}
