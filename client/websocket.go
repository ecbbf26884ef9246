package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// The server takes 100 commands at once and 20 a second by default (limits.commands), and
// closes the connection of who sends more. These leave room for a clock that differs.
const (
	commandBurst = 80
	commandEvery = 70 * time.Millisecond
	sendLimit    = 15 * time.Second // for a command to leave
)

// socket is one WebSocket connection of a run, whose goroutine owns it.
type socket struct {
	*run
	ctx   context.Context
	conn  *websocket.Conn
	held  map[string]*holding // by name: what the server has of this connection
	dirty bool                // held may differ from what is wanted
	spare int                 // commands that may be sent at once
	since time.Time           // when spare was counted
	pace  <-chan time.Time    // has something when a command may be sent that had to wait; nil: none had to
}

// holding is a channel that the server has been asked for on a connection. At most one
// command about it is without an answer.
type holding struct {
	*subscription
	state holdingState
}

type holdingState int

const (
	holdingLive    holdingState = iota
	holdingAsked                // a subscribe has no answer yet
	holdingLeaving              // an unsubscribe has no answer yet: what comes is of before
)

// frame is what the reader of a connection hands over.
type frame struct {
	text []byte
	err  error
}

func (r *run) receiveFrames(ctx context.Context, list []*subscription, w watch) error {
	inURL, length := 0, 0
	for inURL < len(list) && (inURL == 0 || length < longQuery) {
		length += len(r.ask(list[inURL : inURL+1]))
		inURL++
	}
	clear(r.asked)
	conn, err := r.dial(ctx, r.ask(list[:inURL]), w)
	if err != nil {
		return err
	}
	s := socket{run: r, ctx: ctx, conn: conn, held: map[string]*holding{}, dirty: true, spare: commandBurst, since: time.Now()}
	for _, c := range list[:inURL] {
		s.held[c.name] = &holding{c, holdingLive}
	}
	frames, stop, done := make(chan frame), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.read(frames, stop)
	}()
	defer func() {
		close(stop)
		_ = conn.CloseNow() // there is nobody who would want to know
		<-done
	}()
	for {
		if err := s.reconcile(); err != nil {
			return err
		}
		select {
		case f := <-frames:
			if f.err != nil {
				return s.why(f.err)
			}
			m, err := decode(f.text)
			if err != nil {
				return err
			}
			if err := s.take(m); err != nil {
				return err
			}
		case <-r.roster.changed:
			s.dirty = true
		case <-s.pace:
			s.dirty = true
		}
	}
}

// dial makes a connection. Each byte that comes over it is a sign of life.
func (r *run) dial(ctx context.Context, query string, w watch) (*websocket.Conn, error) {
	address, err := (&call{base: r.url, path: "/ws", query: query}).address()
	if err != nil {
		return nil, err
	}
	own := *r.http
	own.Transport = watchedUpgrades{r.http.Transport, w}
	conn, resp, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: &own, Subprotocols: []string{"icomet"}, CompressionMode: websocket.CompressionNoContextTakeover,
	})
	switch {
	case err == nil:
		conn.SetReadLimit(maxMessage)
		return conn, nil
	case resp != nil && resp.StatusCode == http.StatusOK:
		return nil, &StatusError{Status: resp.StatusCode, Text: "the answer is no WebSocket"}
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return nil, refusal(resp)
	}
	return nil, withoutAddress(err)
}

// watchedUpgrades makes the connections that are upgraded watched ones.
type watchedUpgrades struct {
	base  http.RoundTripper // nil: the default
	watch watch
}

func (u watchedUpgrades) RoundTrip(req *http.Request) (*http.Response, error) {
	base := u.base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		if raw, ok := resp.Body.(io.ReadWriteCloser); ok {
			resp.Body = watchedConn{raw, u.watch}
		}
	}
	return resp, err
}

type watchedConn struct {
	io.ReadWriteCloser
	watch watch
}

func (c watchedConn) Read(p []byte) (int, error) {
	c.watch.timer.Reset(c.watch.limit)
	defer c.watch.timer.Stop()
	return c.ReadWriteCloser.Read(p)
}

// read hands over the messages one by one, and why there are no more.
func (s *socket) read(frames chan<- frame, stop <-chan struct{}) {
	for {
		_, text, err := s.conn.Read(s.ctx)
		select {
		case frames <- frame{text, err}:
		case <-stop:
			return
		}
		if err != nil {
			return
		}
	}
}

// why says in the package's words why there are no more messages.
func (s *socket) why(err error) error {
	closed, ok := errors.AsType[websocket.CloseError](err)
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return ErrTooLarge
	case ok && s.many && len(s.asked) == 0: // all are refused
		return errAgain
	case ok && (closed.Code == websocket.StatusNormalClosure || closed.Code == websocket.StatusGoingAway):
		return errCut
	case ok:
		return fmt.Errorf("the server closed the WebSocket: %d %s", closed.Code, closed.Reason)
	case errors.Is(err, io.EOF): // in words of the library, which say no more
		return io.ErrUnexpectedEOF
	}
	return err
}

// take handles a message of the server. Of a channel, only what follows the last command
// about it counts.
func (s *socket) take(m incoming) error {
	h := s.held[m.Channel]
	if h == nil || !s.many {
		return s.run.take(m)
	}
	s.dirty = s.dirty || m.Type != typeData && m.Type != typeBroadcast
	switch m.Type {
	case typeLeft:
		delete(s.held, m.Channel)
		return nil
	case typeBad:
		delete(s.held, m.Channel)
		if h.state == holdingAsked && !s.roster.isGone(h.subscription) {
			return s.leave(h.subscription, &StatusError{Status: http.StatusBadRequest, Text: m.Content})
		}
		return nil // it had ended when the unsubscribe came
	case typeData, typeBroadcast, typeNextSeq:
		if h.state == holdingAsked {
			return nil
		}
	case typeNoop:
		return s.run.take(m)
	case typePosition:
		if h.state == holdingAsked {
			h.state = holdingLive
		}
	case typeToken, typeTooMany, typeEnd, typeClose:
		if h.state != holdingLeaving { // then the answer of the unsubscribe follows
			delete(s.held, m.Channel)
		}
	}
	if h.state == holdingLeaving {
		return nil
	}
	return s.run.take(m)
}

// reconcile sends what makes the server follow the channels that are wanted.
func (s *socket) reconcile() error {
	if !s.many || !s.dirty {
		return nil
	}
	s.dirty = false
	for name, h := range s.held {
		if h.state != holdingLive || !s.roster.isGone(h.subscription) {
			continue
		}
		if !s.spend() {
			return nil
		}
		h.state = holdingLeaving
		delete(s.asked, name)
		if err := s.send(command{Type: "unsubscribe", Channel: name}); err != nil {
			return err
		}
	}
	for _, c := range s.roster.all() {
		if s.held[c.name] != nil || !c.due(s.run) {
			continue
		}
		if !s.spend() {
			return nil
		}
		if err := s.subscribe(c); err != nil {
			return err
		}
	}
	return nil
}

// command is what a client sends over a WebSocket.
type command struct {
	Type    string `json:"type"`
	Channel string `json:"cname"`
	Seq     int64  `json:"seq,omitempty"`
	Last    int    `json:"last,omitempty"`
	Epoch   string `json:"epoch,omitempty"`
	Token   string `json:"token,omitempty"`
}

func (s *socket) subscribe(c *subscription) error {
	if err := c.sign(); err != nil {
		return c.refused(err)
	}
	c.asked, c.told = c.epoch, false
	s.asked[c.name] = c
	s.held[c.name] = &holding{c, holdingAsked}
	return s.send(command{"subscribe", c.name, c.next, c.last, c.epoch, c.token})
}

// spend reports whether a command may be sent now. If not, s.pace says when one may.
func (s *socket) spend() bool {
	if earned := int(time.Since(s.since) / commandEvery); earned > 0 {
		s.spare = min(commandBurst, s.spare+earned)
		s.since = s.since.Add(time.Duration(earned) * commandEvery)
	}
	if s.spare == 0 {
		s.pace = time.After(commandEvery)
		return false
	}
	s.spare--
	return true
}

func (s *socket) send(c command) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, sendLimit)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, text)
}
