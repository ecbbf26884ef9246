package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// Start is a channel, and where it begins: as the fields of the same names of a
// Subscriber say.
type Start struct {
	Channel string // 1 to 255 bytes of UTF-8
	From    Position
	Last    int
	Seq     int64
}

func (w *Start) check() error {
	switch {
	case w.From != (Position{}) && !w.From.valid():
		return &StatusError{Status: http.StatusBadRequest, Text: "From: " + errPosition.Error()}
	case w.From == (Position{}) && w.Last < 0:
		return &StatusError{Status: http.StatusBadRequest, Text: "Last: want 0 or more"}
	case w.From == (Position{}) && w.Last == 0 && w.Seq < 0:
		return &StatusError{Status: http.StatusBadRequest, Text: "Seq: want 0 or more"}
	}
	return nil
}

// MultiSubscriber receives several channels over one connection, as many as the server
// allows (limits.channels_per_connection, 100 by default). Add says which. A server before
// 0.2 follows only the first of several: Messages ends with ErrTooOld then.
//
// Its fields must not be changed while Messages runs, of which one at a time may. Its
// methods may be called at any time, by any goroutine, also in the loop over Messages.
type MultiSubscriber struct {
	URL       string    // of the front port: http://host:port or https://host:port, with a path if a proxy needs one
	Transport Transport // "": Stream. WebSocket adds and removes channels without a new connection

	// Token returns the token of a channel, if the server needs one. denied is the number
	// of tokens that the server has refused since it accepted one. After an error that is
	// not Temporary, as ErrUnauthorized, the channel is not followed any more; after
	// another one Token is called again. No message comes while it runs. nil: no token is
	// sent.
	Token func(ctx context.Context, channel string, denied int) (string, error)

	// As of a Subscriber. A channel that is added as soon as it has ended waits, too.
	MinBackoff, MaxBackoff, Silence time.Duration

	// OnError, if set, is called for each failure after which Messages tries again, in
	// wait: of the connection, or of one channel, which err names.
	OnError func(err error, wait time.Duration)

	// OnPosition, if set, is called for each channel as that of a Subscriber.
	OnPosition func(channel string, what Recovery)

	// OnEnd, if set, is called when a channel is not followed any more: it has ended or
	// was closed (ErrEnded, ErrClosed), its token is refused (ErrUnauthorized), Token has
	// failed for good, or the server does not take it (a *StatusError). last is where it
	// has come to.
	OnEnd func(last Start, err error)

	// HTTP, if set, replaces the MultiSubscriber's own client. It must have no Timeout.
	HTTP *http.Client

	once   sync.Once
	roster *roster
}

// Add adds channels. While Messages runs, a channel is added over WebSocket by a command;
// the other transports make a new connection, in which no channel loses anything. The error
// is that of a name that is none or is there already, or of a From that is no position: then
// none is added.
func (s *MultiSubscriber) Add(channels ...Start) error {
	list := []*subscription{}
	for _, where := range channels {
		if n := len(where.Channel); n == 0 || n > 255 || !utf8.ValidString(where.Channel) {
			return &StatusError{Status: http.StatusBadRequest, Text: fmt.Sprintf("channel %q: want 1 to 255 bytes of UTF-8", where.Channel)}
		}
		if err := where.check(); err != nil {
			return fmt.Errorf("channel %s: %w", where.Channel, err)
		}
		list = append(list, newSubscription(where))
	}
	return s.all().add(list)
}

// Remove removes a channel, and returns where it has come to: no message of it comes any
// more. there is false if it is not followed.
func (s *MultiSubscriber) Remove(channel string) (last Start, there bool) {
	sub := s.all().find(channel)
	if sub == nil {
		return Start{}, false
	}
	last, there = s.all().remove(sub)
	s.all().change()
	return last, there
}

// Channels returns the channels that are followed, each with where it has come to: what
// another MultiSubscriber needs to go on. A message counts from when Messages yields it.
func (s *MultiSubscriber) Channels() []Start { return s.all().starts() }

func (s *MultiSubscriber) all() *roster {
	s.once.Do(func() { s.roster = newRoster() })
	return s.roster
}

// Messages yields the messages of all channels, each exactly once and those of a channel in
// order, over any number of connections. It waits while there is no channel, and ends when
// the last one is not followed any more, save by Remove, with the error that OnEnd has been
// told of that one. It ends too with ctx's error, ErrTooLarge, ErrTooOld, or one that would
// not change if the request were repeated: a *StatusError, or a URL that is none.
// A later call continues after the last messages that were yielded.
func (s *MultiSubscriber) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		r := run{
			settings: settings{
				url: s.URL, transport: s.Transport, minBackoff: s.MinBackoff, maxBackoff: s.MaxBackoff,
				silence: s.Silence, http: s.HTTP, newToken: s.Token, onError: s.OnError, onPosition: s.OnPosition, onEnd: s.OnEnd,
			},
			ctx: ctx, yield: yield, roster: s.all(), many: true,
		}
		if err := r.messages(); !errors.Is(err, errStopped) {
			yield(Message{}, err)
		}
	}
}

// roster is the list of channels that are followed.
type roster struct {
	changed chan struct{} // has something after a change

	mu   sync.Mutex
	list []*subscription // never changed in place
}

func newRoster(list ...*subscription) *roster {
	return &roster{changed: make(chan struct{}, 1), list: list}
}

func (o *roster) change() {
	select {
	case o.changed <- struct{}{}:
	default: // there is one that nobody has seen yet
	}
}

// changeLater makes a change after wait, if s is still to be asked for then.
func (o *roster) changeLater(s *subscription, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.waiting = true
	time.AfterFunc(wait, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if s.waiting && !s.gone {
			o.change()
		}
	})
}

// drain forgets changes, before the list is read, and those that it will show.
func (o *roster) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.list {
		s.waiting = s.waiting && time.Until(s.notBefore) > 0
	}
	select {
	case <-o.changed:
	default:
	}
}

func (o *roster) all() []*subscription {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.list
}

func (o *roster) find(name string) *subscription {
	for _, s := range o.all() {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (o *roster) add(added []*subscription) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := slices.Clone(o.list)
	for _, s := range added {
		if slices.ContainsFunc(list, func(other *subscription) bool { return other.name == s.name }) {
			return &StatusError{Status: http.StatusBadRequest, Text: fmt.Sprintf("channel %q is there already", s.name)}
		}
		list = append(list, s)
	}
	o.list = list
	o.change()
	return nil
}

// remove takes s out. there is false if it was not in.
func (o *roster) remove(s *subscription) (last Start, there bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.Index(o.list, s)
	if i >= 0 {
		o.list = slices.Delete(slices.Clone(o.list), i, i+1)
	}
	s.gone = true
	return s.kept, i >= 0
}

func (o *roster) isGone(s *subscription) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return s.gone
}

// keep is false if s is gone; then nothing is kept.
func (o *roster) keep(s *subscription, where Start) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !s.gone {
		s.kept = where
	}
	return !s.gone
}

func (o *roster) starts() []Start {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]Start, len(o.list))
	for i, s := range o.list {
		out[i] = s.kept
	}
	return out
}
