package client_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeAdmin is an admin port in memory, whose answers can get lost. trouble is asked
// before each request.
type fakeAdmin struct {
	*httptest.Server
	trouble func(n int, r *http.Request) fate // nil: none; n counts from 0
	old     bool                              // it knows nothing of version 0.2
	limit   int                               // bytes of a body

	mu       sync.Mutex
	requests []string // their paths
	sizes    []int    // lines of each batch
	stored   map[string][]string
	ids      map[string]int // channel and id to number
	ended    map[string]bool
}

// fate is what becomes of a request.
type fate int

const (
	carriedOut fate = iota
	lostAnswer      // carried out, and then the connection breaks
	lostCall        // the connection breaks before
	busy            // 503
)

func startFakeAdmin(t *testing.T) *fakeAdmin {
	t.Helper()
	f := &fakeAdmin{limit: 1 << 20, stored: map[string][]string{}, ids: map[string]int{}, ended: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAdmin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.requests)
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	what := carriedOut
	if f.trouble != nil {
		what = f.trouble(n, r)
	}
	answer := httptest.NewRecorder()
	switch {
	case what == lostCall:
		panic(http.ErrAbortHandler)
	case what == busy:
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	case r.URL.Path == "/batch" && f.old:
		http.Error(answer, "no such path", http.StatusNotFound)
	case r.URL.Path == "/batch" && r.Method == http.MethodGet:
		http.Error(answer, "POST", http.StatusMethodNotAllowed)
	case r.URL.Path == "/batch":
		f.batch(answer, r)
	default:
		f.publish(answer, r)
	}
	if what == lostAnswer {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(answer.Code)
	fmt.Fprint(w, answer.Body)
}

// asked are the requests that have come.
func (f *fakeAdmin) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// contents are the messages of a channel.
func (f *fakeAdmin) contents(channel string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.stored[channel])
}

func (f *fakeAdmin) publish(w http.ResponseWriter, r *http.Request) {
	channel, content, id := r.FormValue("cname"), r.FormValue("content"), r.FormValue("id")
	if f.old {
		f.stored[channel] = append(f.stored[channel], content)
		fmt.Fprintln(w, `{"type":"ok"}`)
		return
	}
	next := len(f.stored[channel]) + 1
	if want := r.FormValue("if_seq"); want != "" && want != fmt.Sprint(next) {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, `{"type":"409","cname":%q,"seq":%d,"content":"the next number is another","epoch":%q}`, channel, next, epoch)
		return
	}
	var seq int
	var duplicate, ended bool
	if r.PostForm.Has("content") {
		seq, duplicate, ended = f.store(channel, content, id)
	}
	switch {
	case ended:
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, `{"type":"409","cname":%q,"seq":%d,"content":"the channel has ended","epoch":%q}`, channel, next, epoch)
	case r.URL.Path == "/end":
		f.ended[channel] = true
		fmt.Fprintf(w, "ok %d\n", len(f.stored[channel])+1)
	default:
		text := ""
		if duplicate {
			text = `,"duplicate":true`
		}
		fmt.Fprintf(w, `{"type":"ok","cname":%q,"seq":%d,"epoch":%q%s}`+"\n", channel, seq, epoch, text)
	}
}

func (f *fakeAdmin) store(channel, content, id string) (seq int, duplicate, ended bool) {
	if seq := f.ids[channel+" "+id]; seq > 0 {
		return seq, true, false
	}
	if f.ended[channel] {
		return 0, false, true
	}
	f.stored[channel] = append(f.stored[channel], content)
	seq = len(f.stored[channel])
	if id != "" {
		f.ids[channel+" "+id] = seq
	}
	return seq, false, false
}

func (f *fakeAdmin) batch(w *httptest.ResponseRecorder, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(f.limit)))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	type line struct{ Cname, Content, ID string }
	list := []line{}
	for text := range bytes.Lines(body) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil || r.Header.Get("Content-Type") != "application/x-ndjson" {
			http.Error(w, "what is this?", http.StatusBadRequest)
			return
		}
		list = append(list, l)
	}
	f.sizes = append(f.sizes, len(list))
	for _, l := range list {
		seq, duplicate, ended := f.store(l.Cname, l.Content, l.ID)
		switch {
		case ended:
			fmt.Fprintln(w, `{"type":"error","status":409,"content":"the channel has ended"}`)
		case strings.HasPrefix(l.Content, "bad"):
			f.stored[l.Cname] = f.stored[l.Cname][:seq-1]
			fmt.Fprintln(w, `{"type":"error","status":400,"content":"bad"}`)
		case duplicate:
			fmt.Fprintf(w, `{"type":"ok","seq":%d,"duplicate":true}`+"\n", seq)
		default:
			fmt.Fprintf(w, `{"type":"ok","seq":%d}`+"\n", seq)
		}
	}
}
