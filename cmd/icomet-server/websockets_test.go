package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// webSocket is one of the WebSocket clients that people use. It is a program (coder, of Go,
// a goroutine) that reads a line for each thing to do, a JSON array:
//
//	["open", URL, {"protocols": […], "origin": …, "compress": true}]
//	["send", TEXT], ["binary", TEXT], ["ping", TEXT], ["close", CODE]
//	["bytes", BASE64]: a text message that is not UTF-8; ["unmasked", TEXT]
//
// and writes a line for each thing that happens:
//
//	open PROTOCOL EXTENSIONS    (- for none)
//	refused STATUS
//	message TEXT, or large LENGTH SHA1 above 1000 bytes
//	pong TEXT, pinged
//	closed CODE REASON
type webSocket struct {
	t     *testing.T
	name  string
	in    io.Writer
	lines chan string
	notes *servertest.Output // what else the program says
}

// webSocketClients are the clients, what each cannot do, and whether it comes from npm.
var webSocketClients = []struct {
	name, cannot string
	npm          bool
}{
	{"ws", "", true},
	{"undici", "bytes unmasked", true},
	{"python", "bytes unmasked", false},
	{"coder", "unmasked", false},
}

// startWebSocket starts the client until the end of the test.
func startWebSocket(t *testing.T, name string) *webSocket {
	t.Helper()
	w := &webSocket{t: t, name: name, lines: make(chan string, 1000), notes: new(servertest.Output)}
	var out io.ReadCloser
	var end func()
	dir := "testdata/clients/"
	switch name {
	case "coder":
		in, inWriter := io.Pipe()
		outReader, outWriter := io.Pipe()
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			defer close(ended)
			runCoder(ctx, in, outWriter, w.notes)
			outWriter.Close()
		}()
		w.in, out = inWriter, outReader
		end = func() { cancel(); inWriter.Close(); <-ended }
	default:
		cmd := exec.Command("node", dir+"websocket.mjs", name)
		if name == "python" {
			cmd = exec.Command("/usr/bin/python3", dir+"websocket.py") // Debian's, with its packages
		}
		cmd.Env = servertest.Trusting()
		cmd.Stderr = w.notes
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if out, err = cmd.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatalf("%v: make test-needs installs it", err)
		}
		w.in, end = in, func() { _ = cmd.Process.Kill(); in.Close() }
		defer func() { kill := end; end = func() { kill(); _ = cmd.Wait() } }()
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(w.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			w.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() { out.Close(); <-read; end() })
	return w
}

// do has the client do something.
func (w *webSocket) do(what string, values ...any) {
	w.t.Helper()
	line, err := json.Marshal(append([]any{what}, values...))
	if err == nil {
		_, err = w.in.Write(append(line, '\n'))
	}
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", line, err, w.notes)
	}
}

// next returns what happens next. Heartbeats are passed over.
func (w *webSocket) next(instead string) string {
	w.t.Helper()
	late := time.After(startLimit)
	for {
		select {
		case line, more := <-w.lines:
			if !more {
				w.t.Fatalf("%s has ended, want %s\n%s", w.name, instead, w.notes)
			}
			if !strings.HasPrefix(line, `message {"type":"noop"`) {
				return strings.TrimSpace(line)
			}
		case <-late:
			w.t.Fatalf("%s: nothing in %v, want %s\n%s", w.name, startLimit, instead, w.notes)
		}
	}
}

// want waits for lines that begin like this.
func (w *webSocket) want(beginnings ...string) {
	w.t.Helper()
	for _, beginning := range beginnings {
		if got := w.next(beginning); !strings.HasPrefix(got, beginning) {
			w.t.Fatalf("%s: %.300q, want %q\n%s", w.name, got, beginning, w.notes)
		}
	}
}

// wantEach waits for these lines, of which those of one channel come in their order.
func (w *webSocket) wantEach(channels map[string][]string) {
	w.t.Helper()
	got, n := map[string][]string{}, 0
	for _, lines := range channels {
		n += len(lines)
	}
	for range n {
		line := w.next(fmt.Sprint(channels))
		_, rest, _ := strings.Cut(line, `"cname":"`)
		name, _, _ := strings.Cut(rest, `"`)
		got[name] = append(got[name], line)
	}
	for name, lines := range channels {
		if !slices.Equal(got[name], lines) {
			w.t.Fatalf("%s: %q, want %q", w.name, got, channels)
		}
	}
}

// dataLine is the line of a message.
func dataLine(cname string, seq int, content string) string {
	return fmt.Sprintf(`message {"type":"data","cname":%q,"seq":%d,"content":%q}`, cname, seq, content)
}

// TestWebSockets: the clients that people use, with permessage-deflate and without, and over
// TLS.
func TestWebSockets(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, ...string) *servertest.Server{
		"compression true": servertest.Start, "compression false": servertest.Start, "TLS": servertest.StartTLS,
	} {
		compression := name != "compression false"
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, fmt.Sprint("ICOMET_FRONT_WEBSOCKET_COMPRESSION=", compression),
				"ICOMET_FRONT_ALLOW_ORIGINS=https://good.example", "ICOMET_FRONT_POLLING_TIMEOUT=1",
				"ICOMET_FRONT_CHANNEL_TIMEOUT=600", "ICOMET_LIMITS_COMMANDS=5")
			clients := map[string]*webSocket{} // those that are there
			for _, c := range webSocketClients {
				if !c.npm || npmThere() {
					clients[c.name] = startWebSocket(t, c.name)
				}
			}
			ok := t.Run("clients", func(t *testing.T) {
				for _, c := range webSocketClients {
					t.Run(c.name, func(t *testing.T) {
						t.Parallel()
						if c.npm {
							needNpm(t)
						}
						w := *clients[c.name]
						w.t = t
						trial := &webSocketTrial{&w, s, c.cannot}
						trial.subscriptions(compression)
						trial.ends()
						trial.faults()
					})
				}
			})
			if !ok {
				return
			}
			for _, w := range clients {
				w.do("open", "ws"+strings.TrimPrefix(s.Front, "http")+"/ws?cname=last&seq=1", map[string]any{})
				w.want("open -")
			}
			s.WaitSubscribers("last", len(clients))
			s.Stop()
			for _, w := range clients {
				w.want("closed 1001")
			}
		})
	}
}
