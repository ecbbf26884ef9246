package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"icomet/channel"
	"icomet/server"
	"icomet/server/config"
)

// heldEngine answers a broadcast when the test says so, as a shared store would.
type heldEngine struct {
	channel.Engine
	held chan heldCall
}

type heldCall struct {
	content string
	done    channel.Done
}

func (e *heldEngine) Broadcast(content, _ string, done channel.Done) {
	e.held <- heldCall{content, done}
}

func startHeld(t *testing.T, edit func(*config.Config)) (*testServer, *heldEngine) {
	t.Helper()
	e := &heldEngine{held: make(chan heldCall, 1000)}
	s := startServerAs(t, edit, func(o *server.Options) {
		o.Engine = func(h *channel.Hub) (channel.Engine, error) {
			e.Engine = channel.NewMemory(h)
			return e, nil
		}
	}, nil)
	return s, e
}

// calls takes n broadcasts, by content.
func (e *heldEngine) calls(t *testing.T, n int) map[string]channel.Done {
	t.Helper()
	calls := make(map[string]channel.Done)
	for len(calls) < n {
		select {
		case c := <-e.held:
			calls[c.content] = c.done
		case <-time.After(patience):
			t.Fatalf("%d broadcasts of %d have come", len(calls), n)
		}
	}
	return calls
}

func pipelined(paths ...string) string {
	var b strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", path)
	}
	return b.String()
}

func (c *client) expectAnswers(want ...string) {
	c.t.Helper()
	for i, w := range want {
		status, body := c.response()
		if got := fmt.Sprintf("%d %s", status, body); !strings.Contains(got, w) {
			c.t.Errorf("answer %d is %q, want %q", i, got, w)
		}
	}
}

// TestAnswersInOrderOfRequests finishes broadcasts in the wrong order.
func TestAnswersInOrderOfRequests(t *testing.T) {
	t.Parallel()
	s, e := startHeld(t, nil)
	c := dial(t, s.admin)
	c.sendf("%s", pipelined("/info?cname=first", "/broadcast?content=1", "/info?cname=second",
		"/broadcast?content=2", "/push?content=x", "/check?cname=third", "/broadcast?content=3"))
	c.expectAnswers(`200 {"cname": "first"`) // what is in front does not wait
	calls := e.calls(t, 3)
	// In the wrong order, and each with another result.
	calls["3"].Done(channel.Result{})
	calls["2"].Done(channel.Result{Err: channel.ErrStopped})
	s.pauseAll()() // both have arrived
	calls["1"].Done(channel.Result{Err: channel.ErrOverloaded})
	c.expectAnswers("503 overloaded", `200 {"cname": "second"`, "503 the server is shutting down",
		"400 cname is missing", "200 {}", "200 ok\n")
	c.get("/info?cname=again").expectAnswers(`"again"`)
}

// TestLateAnswersShareAWrite finishes broadcasts of two connections while the loops
// stand still.
func TestLateAnswersShareAWrite(t *testing.T) {
	t.Parallel()
	const n = 8
	s, e := startHeld(t, nil)
	var clients []*client
	for i := range 2 {
		c := dial(t, s.admin)
		var paths []string
		for j := range n {
			paths = append(paths, fmt.Sprintf("/broadcast?content=%d.%d", i, j))
		}
		c.sendf("%s", pipelined(paths...))
		clients = append(clients, c)
	}
	calls := e.calls(t, 2*n)
	var before []int
	for _, c := range clients {
		before = append(before, segmentsIn(t, c))
	}
	release := s.pauseAll()
	for j := range n {
		for i := range clients {
			calls[fmt.Sprintf("%d.%d", i, j)].Done(channel.Result{})
		}
	}
	release()
	for i, c := range clients {
		for range n {
			c.expectAnswers("200 ok\n")
		}
		if segments := segmentsIn(t, c) - before[i]; segments != 1 {
			t.Errorf("connection %d: %d answers came in %d writes", i, n, segments)
		}
	}
}

// maxPending is how many requests of a connection may wait for the engine.
const maxPending = 128

// TestManyPendingAnswers pipelines more than the server keeps places for.
func TestManyPendingAnswers(t *testing.T) {
	t.Parallel()
	const n = 3*maxPending + 5
	s, e := startHeld(t, nil)
	c := dial(t, s.admin)
	var paths []string
	for i := range n {
		paths = append(paths, fmt.Sprintf("/broadcast?content=%d", i), fmt.Sprintf("/info?cname=n%d.", i))
	}
	c.sendf("%s", pipelined(paths...))
	checkFor(t, patience, func() error {
		if in := s.Stats().BytesIn; in < uint64(len(pipelined(paths...))) {
			return fmt.Errorf("%d bytes are in", in)
		}
		return nil
	})
	release := s.pauseAll()
	if len(e.held) > maxPending {
		t.Errorf("%d answers are pending", len(e.held))
	}
	release()
	for i := range n {
		e.calls(t, 1)[fmt.Sprint(i)].Done(channel.Result{})
		c.expectAnswers("200 ok\n", fmt.Sprintf(`"n%d."`, i))
	}
	_ = c.Close()
	checkFor(t, patience, s.checkIdle)
}

// TestErrorBehindAPendingAnswer: the answer to what cannot be parsed, or does not
// come in time, is behind those before it, and ends the connection.
func TestErrorBehindAPendingAnswer(t *testing.T) {
	t.Parallel()
	for _, k := range []struct{ bad, want string }{
		{"BAD\r\n\r\n", "400 "},
		{"POST /push HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n", "400 "},
		{"POST /push HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400 "},
		{"POST /push?cname=a HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nhalf", "408 "},
		{"GET /pu", "408 "},
	} {
		s, e := startHeld(t, func(c *config.Config) { c.Limits.RequestTimeout = config.Duration(300 * time.Millisecond) })
		c := dial(t, s.admin)
		c.sendf("%s", pipelined("/broadcast?content=1", "/info?cname=a")+k.bad)
		calls := e.calls(t, 1)
		// It comes when the error has been found.
		checkFor(t, patience, func() error {
			if s.Stats().Refused["http_"+k.want[:3]] != 1 {
				return fmt.Errorf("%q is not refused", k.bad)
			}
			return nil
		})
		c.sendf("GET /ignored HTTP/1.1\r\n%s", strings.Repeat("x", 100))
		calls["1"].Done(channel.Result{})
		c.expectAnswers("200 ok\n", `"cname": "a"`, k.want)
		c.expectEnd()
		_ = c.Close()
		s.stop()
	}
}

// TestCloseBehindAPendingAnswer: Connection: close on a request that waits.
func TestCloseBehindAPendingAnswer(t *testing.T) {
	t.Parallel()
	s, e := startHeld(t, nil)
	c := dial(t, s.admin)
	c.sendf("%sGET /broadcast?content=2 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n%s",
		pipelined("/broadcast?content=1"), pipelined("/info"))
	calls := e.calls(t, 2)
	calls["2"].Done(channel.Result{})
	calls["1"].Done(channel.Result{Err: channel.ErrOverloaded})
	c.expectAnswers("503 overloaded", "200 ok\n")
	c.expectEnd()
}

// TestPresenceBehindAPendingAnswer: an endless response waits for its turn.
func TestPresenceBehindAPendingAnswer(t *testing.T) {
	t.Parallel()
	s, e := startHeld(t, nil)
	c := dial(t, s.admin)
	c.sendf("%s", pipelined("/broadcast?content=1", "/psub"))
	calls := e.calls(t, 1)
	s.call("/push?cname=early&content=x")
	calls["1"].Done(channel.Result{})
	c.expectAnswers("200 ok\n")
	c.head()
	s.call("/push?cname=a&content=x")
	if got := c.chunk(); got != "1 a\n" {
		t.Errorf("psub gets %q", got)
	}
}

// TestClientLeavesBeforeItsAnswer leaves a connection's answers to nobody.
func TestClientLeavesBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	s, e := startHeld(t, nil)
	c := dial(t, s.admin)
	c.sendf("%s", pipelined("/broadcast?content=1", "/broadcast?content=2"))
	calls := e.calls(t, 2)
	calls["2"].Done(channel.Result{})
	_ = c.Close()
	checkFor(t, patience, s.checkIdle)
	calls["1"].Done(channel.Result{})
	other := dial(t, s.admin).get("/info?cname=a")
	other.expectAnswers(`"cname": "a"`)
	_ = other.Close()
	checkFor(t, patience, s.checkIdle)
}
