package examples_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"icomet/server/servertest"
)

// subscribers are the examples that subscribe, Java's compiled once. Their server is a
// fake's front.
func subscribers(t *testing.T) []example {
	t.Helper()
	dir := t.TempDir()
	goProgram, err := servertest.Build(filepath.Join(dir, "go-example"), "icomet/examples/go")
	if err != nil {
		t.Fatal(err)
	}
	java := withAddress("Java", front, "java", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-cp", dir, "Subscribe")
	java.needed = false
	if _, err := exec.LookPath("javac"); err == nil {
		if out, err := exec.Command("javac", "--release", "11", "-d", dir, "java/Subscribe.java").CombinedOutput(); err != nil {
			t.Fatalf("javac: %v\n%s", err, out)
		}
	} else {
		java.runtime = []string{"javac"}
	}
	return installed(t, []example{
		withVariable("curl", "FRONT", front, "curl/subscribe.sh"),
		withAddress("Python", front, "python3", "python/subscribe.py"),
		withAddress("Go", front, goProgram),
		java,
	})
}

// fake is a server that answers the first request for a channel as it is told, and the
// later ones as a server does that has the messages m1 to m3, and then closes the channel.
type fake struct {
	servertest.Server

	first  func(c net.Conn, req *http.Request) // a nil one answers like the later ones
	period int                                 // of the heartbeats, seconds; 0: /ping is answered with garbage
	mu     sync.Mutex
	asked  int // requests for a channel
}

func startFake(t *testing.T, f *fake) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	f.Front = "http://" + ln.Addr().String()
	f.Admin = f.Front
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
	return f
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	if req.URL.Path == "/ping" {
		if f.period == 0 {
			fmt.Fprint(c, "garbage")
			return
		}
		fmt.Fprint(c, whole(fmt.Sprintf("{\"type\":\"ping\",\"sub_timeout\":%d}\n", f.period)))
		return
	}
	f.mu.Lock()
	f.asked++
	isFirst := f.asked == 1 && f.first != nil
	f.mu.Unlock()
	if isFirst {
		f.first(c, req)
		return
	}
	seq, _ := strconv.Atoi(req.URL.Query().Get("seq"))
	var list []string
	for n := max(seq, 1); n <= 3; n++ {
		list = append(list, message(n, fmt.Sprint("m", n)))
	}
	list = append(list, `{"type":"close","cname":"a","seq":4,"content":""}`)
	fmt.Fprint(c, answer(req, list...))
}

func (f *fake) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func message(seq int, content string) string {
	return fmt.Sprintf(`{"type":"data","cname":"a","seq":%d,"content":"%s"}`, seq, content)
}

func whole(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

// answer has the messages in the form of the path, and ends.
func answer(req *http.Request, messages ...string) string {
	if req.URL.Path == "/sub" {
		if len(messages) == 1 {
			return whole(messages[0] + "\n")
		}
		return whole("[" + strings.Join(messages, ",") + "]\n")
	}
	return stream(messages...) + "0\r\n\r\n"
}

// stream is an answer that has not ended.
func stream(messages ...string) string {
	text := "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, m := range messages {
		text += fmt.Sprintf("%x\r\n%s\n\r\n", len(m)+1, m)
	}
	return text
}

// record is what a real server with the messages m1 and m2 answers.
func record(t *testing.T, s *servertest.Server, path string) string {
	t.Helper()
	c, err := servertest.Dial(strings.TrimPrefix(s.Front, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s?cname=a&seq=1&epoch= HTTP/1.1\r\nHost: x\r\n\r\n", path)
	got, buf := "", make([]byte, 4096)
	for !strings.Contains(got, `"m2"}`) || !strings.HasSuffix(got, "]\n") && !strings.HasSuffix(got, "\n\r\n") {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got += string(buf[:n])
	}
	return got
}

// crowd runs f for many cases, so many at a time that they wait together, not compute.
func crowd[T any](cases []T, f func(T)) {
	var wait sync.WaitGroup
	places := make(chan bool, 12)
	for _, c := range cases {
		places <- true
		wait.Go(func() {
			defer func() { <-places }()
			f(c)
		})
	}
	wait.Wait()
}

// outcome is what a command printed, and its exit status (-1: killed, because it did not
// end).
func outcome(cmd *exec.Cmd) (stdout, stderr string, status int) {
	var out, diagnostics servertest.Output
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	if err := cmd.Start(); err != nil {
		return "", err.Error(), -1
	}
	timer := time.AfterFunc(2*servertest.Patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // its status says it
	return out.String(), diagnostics.String(), cmd.ProcessState.ExitCode()
}
