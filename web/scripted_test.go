package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"icomet/server/servertest"
	"icomet/web"
	"icomet/web/internal/browser"
)

// scripted is a front port that says what the test makes it say, also what a server says
// only after rare faults.
type scripted struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex
	answers map[string][]string // by "EPOCH-SEQ" of the request: what is sent at once
	asked   []string            // the requests since the last change
	waiting map[chan string]bool
	sockets map[*websocket.Conn]bool
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	s := &scripted{t: t, waiting: map[chan string]bool{}, sockets: map[*websocket.Conn]bool{}}
	s.Server = httptest.NewServer(s)
	// A browser repeats by itself what it has asked on a connection that was kept.
	s.Config.SetKeepAlivesEnabled(false)
	t.Cleanup(func() {
		s.cut()
		s.Close()
	})
	return s
}

// answer sets what the server says from now on, and cuts the connections.
func (s *scripted) answer(answers map[string][]string) {
	s.mu.Lock()
	s.answers, s.asked = answers, nil
	clear(s.waiting)
	s.mu.Unlock()
	s.cut()
}

func (s *scripted) cut() {
	s.CloseClientConnections()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.sockets {
		c.CloseNow()
	}
}

// say sends messages to the one subscriber that waits.
func (s *scripted) say(messages ...string) {
	s.t.Helper()
	for _, m := range messages {
		servertest.CheckFor(s.t, servertest.Patience, func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.waiting) != 1 {
				return fmt.Errorf("%d subscribers wait, want one; asked: %q", len(s.waiting), s.asked)
			}
			for c := range s.waiting {
				c <- m
			}
			return nil
		})
	}
}

// settle waits until one subscriber waits: a poll that has had its answer has asked again.
func (s *scripted) settle() {
	s.t.Helper()
	servertest.CheckFor(s.t, servertest.Patience, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.waiting) != 1 {
			return fmt.Errorf("%d subscribers wait, want one; asked: %q", len(s.waiting), s.asked)
		}
		return nil
	})
}

// wantAsked waits until these, and no others, were the requests since the last change.
func (s *scripted) wantAsked(want ...string) {
	s.t.Helper()
	servertest.CheckFor(s.t, servertest.Patience, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if got, want := strings.Join(s.asked, " "), strings.Join(want, " "); got != want {
			return errors.New("asked " + got + ", want " + want)
		}
		return nil
	})
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	cb := r.FormValue("cb")
	switch r.URL.Path {
	case "/icomet.js":
		w.Write(web.Script)
	case "/ping":
		fmt.Fprint(w, cb, `({"type":"ping","sub_timeout":30});`)
	case "/ws":
		s.socket(w, r)
	case "/sse":
		s.subscribe(r.Context(), r, true, writeTo(w, "data: ", "\n\n"))
	case "/stream":
		s.subscribe(r.Context(), r, true, writeTo(w, "", "\n"))
	default:
		s.subscribe(r.Context(), r, false, func(list []string) {
			fmt.Fprintf(w, "%s([%s]);", cb, strings.Join(list, ","))
		})
	}
}

func writeTo(w http.ResponseWriter, before, after string) func([]string) {
	return func(list []string) {
		for _, m := range list {
			fmt.Fprint(w, before, m, after)
		}
		w.(http.Flusher).Flush()
	}
}

func (s *scripted) socket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the page is of another origin
	if err != nil {
		return
	}
	s.mu.Lock()
	s.sockets[c] = true
	s.mu.Unlock()
	ctx := c.CloseRead(context.Background())
	s.subscribe(ctx, r, true, func(list []string) {
		for _, m := range list {
			_ = c.Write(ctx, websocket.MessageText, []byte(m)) // the page may have gone
		}
	})
	s.mu.Lock()
	delete(s.sockets, c)
	s.mu.Unlock()
	c.CloseNow()
}

// subscribe answers until ctx is done; with one answer if it is not open.
func (s *scripted) subscribe(ctx context.Context, r *http.Request, open bool, write func([]string)) {
	later := make(chan string, 100)
	at := r.FormValue("epoch") + "-" + r.FormValue("seq")
	if !r.Form.Has("epoch") {
		at = "no epoch"
	}
	s.mu.Lock()
	s.asked = append(s.asked, at)
	list := s.answers[at]
	s.waiting[later] = true
	if len(list) > 0 && !open {
		delete(s.waiting, later)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, later)
		s.mu.Unlock()
	}()
	for {
		if open || len(list) > 0 {
			write(list)
		}
		if !open && len(list) > 0 {
			return
		}
		select {
		case m := <-later:
			list = []string{m}
		case <-ctx.Done():
			return
		}
	}
}

// data is a message; its content is its number.
func data(seq int) string {
	return fmt.Sprintf(`{"type":"data","cname":"a","seq":%d,"content":"%[1]d"}`, seq)
}

// position is the server's word on where a subscriber stands; without a reason it is
// recovered.
func position(epoch string, seq int, reason string) string {
	return fmt.Sprintf(`{"type":"position","cname":"a","seq":%d,"content":"","epoch":%q,"recovered":%t,"lost":-1,"reason":%q}`,
		seq, epoch, reason == "", reason)
}

// wantEvents waits until these were the events since the last look.
func wantEvents(p *browser.Page, want string) {
	p.Want("events", want)
	p.Run("events.length = 0")
}
