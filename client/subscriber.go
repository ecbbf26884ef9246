package client

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"net/http"
	"time"
)

// Subscriber receives one channel. It may run one Messages at a time, and its fields must
// not be changed meanwhile, except by Messages itself.
type Subscriber struct {
	URL       string    // of the front port: http://host:port, with a path if a proxy needs one
	Channel   string    // 1 to 255 bytes of UTF-8
	Transport Transport // "": Stream

	// From, Last or Seq say where Messages begins. From wins over Last, which wins over
	// Seq. Messages keeps From and Seq at where it has come to.
	From Position // after this message: a Message's Position, or what Messages left here; Seq 0: before the first one
	Last int      // the newest messages that are stored, and on; 0: none (a server before 0.2 ignores it)
	Seq  int64    // the first message wanted; 0: from now; 1: all stored messages; of another number nobody can know what was lost

	// Token returns the token, if the server needs one. denied is the number of tokens
	// that the server has refused since it accepted one. If Token returns
	// ErrUnauthorized, Messages ends with it; after another error it is called again.
	// nil: no token is sent.
	Token func(ctx context.Context, denied int) (string, error)

	// The wait after a failure is random, between half and all of MinBackoff, which
	// doubles with each further failure up to MaxBackoff. 0: 500 ms and 30 s. With SSE it
	// is at least what the server asks for (retry).
	MinBackoff, MaxBackoff time.Duration

	// Silence is how long a connection may be silent before it is given up. 0: 1.3 times
	// the server's heartbeat period, and at least 1.5 s longer than the period.
	Silence time.Duration

	// OnError, if set, is called for each failure after which Messages tries again, in
	// wait.
	OnError func(err error, wait time.Duration)

	// OnPosition, if set, is called when the server says what a new connection misses, when
	// the numbering changes, and when messages turn out to be missing: always before the
	// message with the same Lost and Reason. Of a server before 0.2 it is only told what
	// the numbers show to be missing.
	OnPosition func(Recovery)

	// HTTP, if set, replaces the Subscriber's own client. It must have no Timeout.
	HTTP *http.Client
}

const (
	defaultMinBackoff = 500 * time.Millisecond
	defaultMaxBackoff = 30 * time.Second
	tooManyBackoff    = 15 * time.Second // at least, after a 429
	unknownSilence    = 78 * time.Second // until the server has told its period
	pingLimit         = 10 * time.Second
	mostRetry         = time.Minute             // the longest retry of a server that is obeyed, unless MaxBackoff is longer
	leastHeartbeat    = time.Second             // a heartbeat that comes sooner is no reason to poll again at once
	late              = 1500 * time.Millisecond // how late a heartbeat may be: the server keeps its period within a second
)

// Messages yields the channel's messages in order, each exactly once, over any number of
// connections. The last pair has the error that ended it: ctx's, ErrEnded, ErrClosed,
// ErrUnauthorized, ErrTooLarge, or one that would not change if the request were repeated:
// a *StatusError, or a URL that is none. With SSE, a *StatusError with status 200 is an
// answer that is no event stream.
// A later call continues after the last message that was yielded, and says again what was
// lost since; after ErrEnded nothing comes any more.
func (s *Subscriber) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		r := run{Subscriber: s, ctx: ctx, yield: yield, http: s.HTTP, silence: s.Silence}
		if err := r.begin(); err != nil {
			yield(Message{}, err)
			return
		}
		if r.http == nil {
			transport := http.DefaultTransport.(*http.Transport).Clone()
			defer transport.CloseIdleConnections()
			r.http = &http.Client{Transport: transport}
		}
		err := r.loop()
		s.From, s.Last, s.Seq = r.sure.position(), r.last, r.sure.next
		if !errors.Is(err, errStopped) {
			yield(Message{}, err)
		}
	}
}

// errStopped: the caller has left the loop over Messages.
var errStopped = errors.New("stopped")

// errAgain ends a connection after which the next one is made at once.
var errAgain = errors.New("again")

// run is one call of Messages.
type run struct {
	*Subscriber
	ctx     context.Context
	yield   func(Message, error) bool
	http    *http.Client
	silence time.Duration
	eventID string        // of the last event; with SSE, what the next connection sends back
	retry   time.Duration // what the server has asked for; 0: nothing

	place
	sure      place  // where a later Messages goes on: before what the next message would say is lost
	last      int    // how many stored messages are wanted, until next is known
	fresh     bool   // messages missing before the first one do not count as lost
	restarted bool   // for the next message
	lost      int64  // for the next message; -1: unknown
	reason    Reason // for the next message
	token     string // the last result of Token
	signed    bool   // token is to be sent
	denied    int    // tokens refused in a row
	failures  int    // connections failed in a row
	got       bool   // this connection has brought something
	moved     bool   // and that was new
	told      bool   // this connection has brought a position; with Poll, this one or one since the last failure
	asked     string // the epoch that this connection has asked with
}

func (r *run) loop() error {
	for {
		r.got, r.moved, r.told = false, false, r.told && r.Transport == Poll
		err := r.connect()
		if errors.Is(err, errAgain) {
			continue
		}
		r.told = false
		switch {
		case final(err):
			return err
		case r.ctx.Err() != nil:
			return r.ctx.Err()
		case errors.Is(err, ErrUnauthorized):
			if r.Token == nil || !r.signed {
				return ErrUnauthorized // without a token, Token itself has returned it
			}
			r.signed = false
			if r.denied++; r.denied == 1 {
				continue // the token may only have expired
			}
		}
		if r.got {
			r.failures = 0
		}
		status, _ := errors.AsType[*StatusError](err)
		switch {
		case status != nil && status.Status == http.StatusNoContent:
			return ErrEnded
		case !Temporary(err) && !errors.Is(err, ErrUnauthorized): // there may be a better token
			return err
		}
		if err := r.wait(err); err != nil {
			return err
		}
	}
}

// final reports whether err ends Messages whatever else has happened.
func final(err error) bool {
	return errors.Is(err, errStopped) || errors.Is(err, ErrEnded) || errors.Is(err, ErrClosed) || errors.Is(err, ErrTooLarge)
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
	if retry := min(r.retry, max(most, mostRetry)); retry > 0 {
		wait = max(wait, retry+rand.N(retry/4+1))
	}
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
