package reactor

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestBridgedHandlerFails: a panic, and an answer without end, cost their request.
func TestBridgedHandlerFails(t *testing.T) {
	t.Parallel()
	block := strings.Repeat("x", 1<<20)
	failing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "half an answer")
		if r.URL.RawQuery == "panic" {
			panic("injected in a bridged handler")
		}
		for range maxBridgedBody >> 20 {
			if _, err := fmt.Fprint(w, block); err != nil {
				return
			}
		}
		t.Error("no end")
	})
	h := subscribers()
	h["/test"] = func(c *Conn, r *Request) { c.Bridge(r, failing) }
	s := startWith(t, 1, nil, h, false)
	c := dial(t, s.admin)
	c.get("/test?panic").wantAnswer(500, "the handler has failed\n")
	c.get("/test").wantAnswer(500, "the answer is over 64MiB\n")
	c.get("/ping").wantAnswer(200, "ping\n")
	if n := s.Panics(); n != 1 {
		t.Errorf("%d panics are counted", n)
	}
}
