package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"icomet/client"
)

// overHTTP are the transports whose bytes the tests write themselves.
var overHTTP = client.Transports[:len(client.Transports)-1]

// answer is what a scriptedServer sends for one request.
type answer struct {
	status int    // 0: 200
	media  string // Content-Type; "": text/event-stream
	body   string
	slowly bool // each byte in a packet of its own
	open   bool // the response does not end
}

// scriptedServer gives the answers in order; requests after the last one stay open.
type scriptedServer struct {
	*httptest.Server
	requests chan *http.Request // those for a channel

	mu      sync.Mutex
	answers []answer
}

func startScript(t *testing.T, answers ...answer) *scriptedServer {
	t.Helper()
	s := &scriptedServer{requests: make(chan *http.Request, 1000), answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *scriptedServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if strings.HasSuffix(req.URL.Path, "/ping") {
		fmt.Fprint(w, `{"type":"ping","sub_timeout":30}`)
		return
	}
	s.mu.Lock()
	a := answer{open: true}
	if len(s.answers) > 0 {
		a, s.answers = s.answers[0], s.answers[1:]
	}
	s.mu.Unlock()
	s.requests <- req
	if req.URL.Path == "/ws" && a.status == 0 {
		serveFrames(w, req, a)
		return
	}
	if a.media == "" {
		a.media = "text/event-stream"
	}
	w.Header().Set("Content-Type", a.media)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	flush := w.(http.Flusher).Flush
	flush()
	if a.slowly {
		for i := range len(a.body) {
			fmt.Fprint(w, a.body[i:i+1])
			flush()
		}
	} else {
		fmt.Fprint(w, a.body)
	}
	flush()
	if a.open {
		<-req.Context().Done()
	}
}

// serveFrames sends each line of the answer as a WebSocket message.
func serveFrames(w http.ResponseWriter, req *http.Request, a answer) {
	conn, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: []string{"icomet"}})
	if err != nil {
		return // and the client says so
	}
	defer conn.CloseNow()
	for line := range strings.Lines(a.body) {
		if err := conn.Write(req.Context(), websocket.MessageText, []byte(strings.TrimSpace(line))); err != nil {
			return
		}
	}
	if a.open {
		<-conn.CloseRead(req.Context()).Done()
	}
}

// message is a message as the server writes it; its content is m and the number.
func message(seq int) string {
	return fmt.Sprintf(`{"type":"data","cname":"a","seq":%d,"content":"m%d"}`, seq, seq)
}
