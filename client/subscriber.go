package client

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"net/http"
	"time"
)

// Subscriber receives one channel. Its fields are not changed while Messages runs;
// one Subscriber runs once at a time.
type Subscriber struct {
	URL       string    // the front port: http://host:port, and a path behind a proxy
	Channel   string    // 1 to 255 bytes of UTF-8
	Seq       int64     // the first message wanted; 0: from now, 1: all that are stored
	Transport Transport // "": Stream

	// Token gives the token of a server that wants one; denied counts the refused
	// ones since the last that was good. When it returns ErrUnauthorized Messages ends
	// with that; after another error it is asked again. Without it there is no token.
	Token func(ctx context.Context, denied int) (string, error)

	// After a failure the wait is between half and all of MinBackoff, doubled with
	// each further failure up to MaxBackoff. 0: 500 ms and 30 s.
	MinBackoff, MaxBackoff time.Duration

	// Silence is how long a connection may be silent before it is given up. 0: 1.3
	// times the heartbeat period, which the server is asked for, and at least 1.5 s
	// more than it.
	Silence time.Duration

	// OnError, if set, hears of each failure that is tried again after wait.
	OnError func(err error, wait time.Duration)

	// HTTP, if set, is used instead of a client of its own. It must have no Timeout.
	HTTP *http.Client
}

const (
	defaultMinBackoff = 500 * time.Millisecond
	defaultMaxBackoff = 30 * time.Second
	tooManyBackoff    = 5 * time.Second  // the least, after a 429
	unknownSilence    = 78 * time.Second // until the server has said its period
	pingLimit         = 10 * time.Second
	late              = 1500 * time.Millisecond // of a heartbeat: the server keeps its period within a second
)

// Messages gives the channel's messages in order, each exactly once, over any number
// of connections. The last pair has an error: ctx's, ErrClosed, ErrUnauthorized, or
// a *StatusError of a wrong call. When it is called again it goes on behind the last
// message given.
func (s *Subscriber) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		r := run{Subscriber: s, ctx: ctx, yield: yield, http: s.HTTP, next: s.Seq, fresh: s.Seq < 2, silence: s.Silence}
		if r.http == nil {
			transport := http.DefaultTransport.(*http.Transport).Clone()
			defer transport.CloseIdleConnections()
			r.http = &http.Client{Transport: transport}
		}
		err := r.loop()
		s.Seq = r.next
		if !errors.Is(err, errStopped) {
			yield(Message{}, err)
		}
	}
}

// errStopped: the loop over Messages was left.
var errStopped = errors.New("stopped")

// errAgain ends a connection that is followed by another at once.
var errAgain = errors.New("again")

// run is one call of Messages.
type run struct {
	*Subscriber
	ctx     context.Context
	yield   func(Message, error) bool
	http    *http.Client
	silence time.Duration

	next      int64  // the next message wanted; 0: not known yet
	fresh     bool   // what is missing before the first message is not lost
	restarted bool   // to be told with the next message
	lost      int64  // likewise
	token     string // of the last Token
	signed    bool   // token is to be used
	denied    int    // tokens refused in a row
	failures  int    // in a row
	got       bool   // this connection has given something
}

func (r *run) loop() error {
	for {
		r.got = false
		err := r.connect()
		switch {
		case errors.Is(err, errAgain):
			continue
		case errors.Is(err, errStopped), errors.Is(err, ErrClosed):
			return err
		case r.ctx.Err() != nil:
			return r.ctx.Err()
		case errors.Is(err, ErrUnauthorized):
			if r.Token == nil || !r.signed {
				return ErrUnauthorized // Token itself said so when nothing is signed
			}
			r.signed = false
			if r.denied++; r.denied == 1 {
				continue // it may just have been an old one
			}
		}
		if r.got {
			r.failures = 0
		}
		if wrong, ok := errors.AsType[*StatusError](err); ok && wrong.Status/100 == 4 && wrong.Status != 408 && wrong.Status != 429 {
			return err // it would be answered the same again
		}
		if err := r.wait(err); err != nil {
			return err
		}
	}
}

// wait waits before the next connection.
func (r *run) wait(err error) error {
	least, most := r.MinBackoff, r.MaxBackoff
	if least <= 0 {
		least = defaultMinBackoff
	}
	if most <= 0 {
		most = defaultMaxBackoff
	}
	bound := min(most, least<<min(r.failures, 20))
	r.failures++
	wait := bound/2 + rand.N(bound/2+1)
	if errors.Is(err, ErrTooMany) {
		wait += tooManyBackoff
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		wait = max(wait, min(status.RetryAfter, most))
	}
	if r.OnError != nil {
		r.OnError(err, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-timer.C:
		return nil
	}
}

// take handles what the server sent. An error ends the connection.
func (r *run) take(m Message) error {
	r.got = true
	switch m.Type {
	case typeData, typeBroadcast:
		r.denied = 0
		return r.deliver(m)
	case typeNextSeq:
		r.denied = 0
		return r.numbering(m.Seq)
	case typeClose:
		return ErrClosed
	case typeToken:
		r.got = false
		return ErrUnauthorized
	case typeTooMany:
		r.got = false
		return ErrTooMany
	}
	return nil // a heartbeat, or what a later server may say
}

func (r *run) deliver(m Message) error {
	if m.Seq < r.next {
		return nil
	}
	if r.next > 0 && !r.fresh {
		r.lost += m.Seq - r.next
	}
	m.Lost, m.Restarted = r.lost, r.restarted
	r.lost, r.restarted, r.fresh = 0, false, false
	r.next = m.Seq + 1
	if !r.yield(m, nil) {
		return errStopped
	}
	return nil
}

// numbering takes the server's word on which message is the next.
func (r *run) numbering(next int64) error {
	switch {
	case r.next == 0 || r.fresh:
		r.next, r.fresh = next, false
	case next > r.next:
		r.lost += next - r.next
		r.next = next
	case next < r.next:
		// The channel began anew. What its new life has had may still be stored, so
		// it is asked for from the start.
		r.restarted, r.next = true, 1
		if next > 1 {
			return errAgain
		}
	}
	return nil
}
