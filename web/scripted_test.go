package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

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
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	s := &scripted{t: t, waiting: map[chan string]bool{}}
	s.Server = httptest.NewServer(s)
	// A browser repeats by itself what it has asked on a connection that was kept.
	s.Config.SetKeepAlivesEnabled(false)
	t.Cleanup(func() {
		s.CloseClientConnections()
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
	s.CloseClientConnections()
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
		w.WriteHeader(http.StatusNotFound)
	case "/sse":
		s.subscribe(w, r, "data: %s\n\n", true)
	case "/stream":
		s.subscribe(w, r, "%s\n", true)
	default:
		s.subscribe(w, r, cb+"([%s]);", false)
	}
}

func (s *scripted) subscribe(w http.ResponseWriter, r *http.Request, frame string, open bool) {
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
	if !open {
		if len(list) == 0 {
			select {
			case m := <-later:
				list = []string{m}
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprintf(w, frame, strings.Join(list, ","))
		return
	}
	for {
		for _, m := range list {
			fmt.Fprintf(w, frame, m)
		}
		w.(http.Flusher).Flush()
		select {
		case m := <-later:
			list = []string{m}
		case <-r.Context().Done():
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
