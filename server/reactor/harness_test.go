package reactor

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/httpparse/wsframe"
	"icomet/server/access"
	"icomet/server/params"
	"icomet/server/secure"
	"icomet/server/servertest"
	"icomet/server/wire"
)

const patience = servertest.Patience

func TestMain(m *testing.M) { servertest.MainWithoutLeaks(m, patience) }

// handlers answer by path, the same on both ports.
type handlers map[string]func(*Conn, *Request)

func (h handlers) Serve(c *Conn, r *Request) {
	if err := r.ParseParams(0); err != nil {
		c.Refuse(r, 400, err.Error())
		return
	}
	if handle := h[string(r.Path)]; handle != nil {
		handle(c, r)
		return
	}
	c.Refuse(r, 404, "not here")
}

func (h handlers) Refuses(*Conn, *Request) bool { return false }
func (h handlers) Opens(*Conn, *Request) bool   { return false }

func (h handlers) Command(c *Conn, _ []byte) { c.TellText("pong") }

func (h handlers) Subscribes(*Conn, *Request) bool { return false }

// subscribers is the least that an endpoint needs to subscribe by any transport.
func subscribers() handlers {
	h := handlers{
		"/ping": func(c *Conn, r *Request) { c.Text(r, &wire.Head{Status: 200, Connection: r.Connection}, "ping") },
	}
	h["/ws"] = func(c *Conn, r *Request) { subscribe(c, r, wire.TransportWebSocket) }
	for path, t := range map[string]wire.Transport{
		"/stream": wire.TransportStream, "/sse": wire.TransportSSE, "/iframe": wire.TransportIframe,
		"/poll": wire.TransportPoll, "/sub": wire.TransportPoll,
	} {
		h[path] = func(c *Conn, r *Request) { subscribe(c, r, t) }
	}
	return h
}

func subscribe(c *Conn, r *Request, t wire.Transport) {
	name, ok := c.Cname(r)
	if !ok {
		return
	}
	seq, ok := c.Int(r, params.Seq)
	if !ok {
		return
	}
	joined, err := c.Join(&channel.Join{Name: name, Since: seq}, t, 0)
	if err != nil {
		c.Refuse(r, 503, err.Error())
		return
	}
	out, sc := c.Out(), c.Scratch()
	sc.Name = wire.AppendJSON(sc.Name[:0], name)
	if t != wire.TransportPoll {
		if t.Frames() {
			h, _ := wsframe.Upgrade(&r.Request)
			c.AcceptFrames(r, &h, t)
		} else {
			out.B = c.AppendOpenHead(out.B, r, t)
		}
		c.Backlog(&joined, wire.OpenForm(t, r.Minor == 0), wire.Channel{Name: sc.Name, Epoch: joined.Channel.Epoch()})
		return
	}
	callback := wire.DefaultCallback
	if string(r.Path) == "/sub" {
		callback = nil
	}
	style := c.NewPollStyle(r, callback)
	switch {
	case joined.More:
		c.LongAnswer(&joined, &style, nil)
		return
	case joined.Subscribed:
		c.Remember(&style)
		return
	}
	sc.Body = style.AppendStored(sc.Body[:0], nil, wire.Channel{Name: sc.Name, Epoch: joined.Channel.Epoch()}, joined.Replay, nil)
	c.Replayed(joined.Replay)
	out.B = style.AppendAnswer(out.B, sc.Body)
}

// testSettings are like the server's defaults.
func testSettings() *Settings {
	rules, err := access.CompileRules([]string{"127.0.0.0/8"}, nil)
	if err != nil {
		panic(err)
	}
	return &Settings{
		Parse:          httpparse.Limits{RequestLine: 8 << 10, Header: 16 << 10, Fields: 100, Body: 1 << 20},
		OutboundBuffer: 256 << 10, PollingTimeout: 30 * time.Second, RequestTimeout: 10 * time.Second,
		IdleTimeout: 75 * time.Second, DrainTimeout: 100 * time.Millisecond, Keepalive: time.Minute,
		AdminRules: rules, Origins: access.NewFrontOrigins([]string{"*"}),
	}
}

// bareReactor is made and never run: its loops only have time. secured is the TLS of both
// ports, if any.
func bareReactor(t *testing.T, set *Settings, loops int, h Handler, crash bool, secured ...*secure.Port) (*Reactor, *servertest.Output) {
	t.Helper()
	front, admin := Address{Key: "front.listen", Text: "127.0.0.1:0"}, Address{Key: "admin.listen", Text: "127.0.0.1:0", Admin: true}
	var port *secure.Port
	if len(secured) > 0 {
		port, front.TLS, admin.TLS = secured[0], true, true
	}
	addrs, err := Listen(front, admin)
	if err != nil {
		t.Fatal(err)
	}
	log := new(servertest.Output)
	hub := channel.NewHub(channel.Limits{MaxChannels: 1e6, MaxSubscribers: 1e6, BufferSize: 10, Timeout: 30 * time.Second})
	r := New(Options{
		Log: slog.New(slog.NewTextHandler(log, nil)), Hub: hub, Engine: channel.NewMemory(hub),
		Handler: h, Settings: set, Listeners: addrs, Loops: loops, CrashOnPanic: crash,
		FrontTLS: port, AdminTLS: port,
	})
	t.Cleanup(r.Close)
	return r, log
}

// testReactor is a running reactor.
type testReactor struct {
	*Reactor
	t            *testing.T
	front, admin string
	log          *servertest.Output
	ended        chan error
}

// start runs a reactor with what edit makes of the settings (nil: nothing).
func start(t *testing.T, loops int, edit func(*Settings)) *testReactor {
	t.Helper()
	return startWith(t, loops, edit, subscribers(), true)
}

func startWith(t *testing.T, loops int, edit func(*Settings), h Handler, crash bool, secured ...*secure.Port) *testReactor {
	t.Helper()
	set := testSettings()
	if edit != nil {
		edit(set)
	}
	r, log := bareReactor(t, set, loops, h, crash, secured...)
	s := &testReactor{Reactor: r, t: t, log: log, ended: make(chan error, 1)}
	s.front, s.admin = r.FrontAddr().String(), r.AdminAddr().String()
	go func() { s.ended <- r.Run() }()
	t.Cleanup(s.stop)
	select {
	case <-r.Ready():
	case <-time.After(patience):
		t.Fatalf("the reactor does not start\n%s", log)
	}
	return s
}

func (s *testReactor) stop() {
	s.Shutdown()
	select {
	case err := <-s.ended:
		s.ended <- err
		if err != nil {
			s.t.Errorf("the reactor ended with %v\n%s", err, s.log)
		}
	case <-time.After(patience):
		s.t.Errorf("the reactor does not stop\n%s", s.log)
	}
}

// ends waits for Run's end, which has to come within drain from started.
func (s *testReactor) ends(started time.Time, drain time.Duration) {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
	case <-time.After(drain + patience):
		s.t.Fatal("Run does not return")
	}
	if took := time.Since(started); took > drain+servertest.Lateness {
		s.t.Errorf("the drain took %v, want %v", took, drain)
	}
}

// checkFor fails the test when f has not succeeded in time.
func (s *testReactor) checkFor(f func() error) {
	s.t.Helper()
	servertest.CheckFor(s.t, patience, f)
}

func (s *testReactor) publish(cname, content string) {
	s.t.Helper()
	if _, err := s.hub.Publish(&channel.Publication{Name: []byte(cname), Content: content}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testReactor) waitSubscribers(cname string, n int) {
	s.t.Helper()
	s.checkFor(func() error {
		if got := s.hub.ChannelSubscribers([]byte(cname)); got != n {
			return fmt.Errorf("%s has %d subscribers, not %d", cname, got, n)
		}
		return nil
	})
}

func (s *testReactor) closedBy(reason CloseReason) (n uint64) {
	for _, c := range s.Counters() {
		n += c.ClosedBy[reason].Load()
	}
	return n
}

// checkIdle reports what does not come back to zero when everybody has gone.
func (s *testReactor) checkIdle() error {
	if n := s.hub.Subscribers(); n != 0 {
		return fmt.Errorf("%d subscribers are counted", n)
	}
	if n, _ := s.Connections(); n != 0 {
		return fmt.Errorf("%d connections are counted", n)
	}
	for i, l := range s.Inspect() {
		if l.Batches != 0 {
			return fmt.Errorf("loop %d: %d batches at work", i, l.Batches)
		}
	}
	return nil
}

// pause stops a loop at the beginning of a run, and returns what lets it go on.
func pause(l *loop) (release func()) {
	reached, gate := make(chan struct{}), make(chan struct{})
	l.post(func() { close(reached); <-gate })
	<-reached
	return func() { close(gate) }
}

// onAllLoops stops all loops, lets f see each, and lets them go on.
func (s *testReactor) onAllLoops(f func(*loop)) {
	var releases []func()
	for _, l := range s.loops {
		releases = append(releases, pause(l))
	}
	for _, l := range s.loops {
		f(l)
	}
	for _, release := range releases {
		release()
	}
}

// conns lists the subscribers of a loop, on the loop.
func (l *loop) conns() (cs []*Conn) {
	for i := range l.subs.tables {
		for _, first := range l.subs.tables[i].buckets {
			for ; first != nil; first = first.hashNext {
				for c := first; c != nil; c = c.subNext {
					cs = append(cs, c.conn)
				}
			}
		}
	}
	return cs
}

// client is a raw connection whose failures are the test's.
type client struct {
	*servertest.Conn
	t *testing.T
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := servertest.Dial(addr)
	return newClient(t, c, err)
}

// dialNarrow connects with a small receive buffer, so that little fits into the
// kernel between server and client.
func dialNarrow(t *testing.T, addr string) *client {
	t.Helper()
	c, err := servertest.DialNarrow(addr, 4096)
	return newClient(t, c, err)
}

func newClient(t *testing.T, c *servertest.Conn, err error) *client {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{c, t}
}

// get sends a GET and leaves the answer to be read.
func (c *client) get(path string) *client {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// subscribe opens a stream and reads its head.
func (s *testReactor) subscribe(path string) *client {
	s.t.Helper()
	c := dial(s.t, s.front).get(path)
	c.head()
	return c
}

func (c *client) head() string {
	c.t.Helper()
	head, err := c.Head()
	if err != nil || !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		c.t.Fatalf("head %q, %v", head, err)
	}
	return head
}

func (c *client) chunk() string {
	c.t.Helper()
	text, err := c.Chunk()
	if err != nil {
		c.t.Fatalf("reading a chunk: %v", err)
	}
	return text
}

func (c *client) wantAnswer(status int, want string) {
	c.t.Helper()
	got, body, err := c.Answer()
	if err != nil || got != status || body != want {
		c.t.Errorf("got %d %.200q, %v; want %d %q", got, body, err, status, want)
	}
}

// expectEnd waits for the end of the connection and fails on any byte before it.
func (c *client) expectEnd() {
	c.t.Helper()
	if err := c.ExpectEnd(); err != nil {
		c.t.Fatal(err)
	}
}
