package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"
)

// Subscriber receives one channel. It may run one Messages at a time, and its fields must
// not be changed meanwhile, except by Messages itself.
type Subscriber struct {
	URL       string    // of the front port: http://host:port or https://host:port, with a path if a proxy needs one
	Channel   string    // 1 to 255 bytes of UTF-8
	Transport Transport // "": Stream

	// From, Last or Seq say where Messages begins. From wins over Last, which wins over
	// Seq. Messages keeps From and Seq at where it has come to.
	From Position // after this message: a Message's Position, or what Messages left here; Seq 0: before the first one
	Last int      // the newest messages that are stored, and on; 0: none (a server before 0.2 ignores it)
	Seq  int64    // the first message wanted; 0: from now; 1: all stored messages; of another number nobody can know what was lost

	// Token returns the token, if the server needs one. denied is the number of tokens
	// that the server has refused since it accepted one. After an error that is not
	// Temporary, as ErrUnauthorized, Messages ends with it; after another one Token is
	// called again. nil: no token is sent.
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

// Messages yields the channel's messages in order, each exactly once, over any number of
// connections. The last pair has the error that ended it: ctx's, ErrEnded, ErrClosed,
// ErrUnauthorized, ErrTooLarge, or one that would not change if the request were repeated:
// a *StatusError, or a URL that is none. With SSE or WebSocket, a *StatusError with status
// 200 is an answer that is none.
// A later call continues after the last message that was yielded, and says again what was
// lost since; after ErrEnded nothing comes any more.
func (s *Subscriber) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		only := newSubscription(Start{Channel: s.Channel, From: s.From, Last: s.Last, Seq: s.Seq})
		r := run{
			settings: settings{
				url: s.URL, transport: s.Transport, minBackoff: s.MinBackoff, maxBackoff: s.MaxBackoff,
				silence: s.Silence, http: s.HTTP, onError: s.OnError,
			},
			ctx: ctx, yield: yield, roster: newRoster(only),
		}
		if s.Token != nil {
			r.newToken = func(ctx context.Context, _ string, denied int) (string, error) { return s.Token(ctx, denied) }
		}
		if s.OnPosition != nil {
			r.onPosition = func(_ string, what Recovery) { s.OnPosition(what) }
		}
		err := r.messages()
		s.From, s.Last, s.Seq = only.kept.From, only.kept.Last, only.kept.Seq
		if !errors.Is(err, errStopped) {
			yield(Message{}, err)
		}
	}
}
