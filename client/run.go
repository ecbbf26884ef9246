package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"time"
)

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

// settings are what the user has given, to a Subscriber or a MultiSubscriber.
type settings struct {
	url                             string
	transport                       Transport
	minBackoff, maxBackoff, silence time.Duration
	http                            *http.Client
	newToken                        func(ctx context.Context, channel string, denied int) (string, error) // nil: no tokens
	onError                         func(err error, wait time.Duration)
	onPosition                      func(channel string, what Recovery)
	onEnd                           func(last Start, err error)
}

// run is one call of Messages. One goroutine owns it, but for its roster.
type run struct {
	settings
	ctx    context.Context
	yield  func(Message, error) bool
	many   bool // of a MultiSubscriber: a refusal costs only its channel, and channels come and go
	roster *roster

	eventID  string               // of the last event; with SSE, what the next connection of a Subscriber sends back
	retry    time.Duration        // what the server has asked for; 0: nothing
	failures int                  // connections failed in a row
	over     error                // why the last channel has gone
	left     map[string]time.Time // when channels have ended, by name: those of the last moment
	grace    time.Duration        // what a connection has at least to bring something, before a change of the channels ends it

	// Of one connection.
	asked    map[string]*subscription // what it brings, by name
	got      bool                     // it has brought something
	moved    bool                     // and that was new
	restless bool                     // a channel's numbering has changed again, soon after it had changed
	jitter   float64                  // of the waits after it, 0 to 1: channels that are refused together are asked for together
}

var (
	// errStopped: the caller has left the loop over Messages.
	errStopped = errors.New("stopped")
	// errAgain ends a connection after which the next one is made at once.
	errAgain = errors.New("again")
	// errOver: the last channel has gone; run.over says why.
	errOver = errors.New("over")
	// errRestless: as when a proxy hands out servers that know nothing of each other.
	errRestless = errors.New("the numbering of a channel changes again and again")
)

// messages runs until it returns why it ends.
func (r *run) messages() error {
	if r.transport == "" {
		r.transport = Stream
	}
	if !r.many {
		if err := r.roster.all()[0].kept.check(); err != nil {
			return err
		}
	}
	if r.http == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		defer transport.CloseIdleConnections()
		r.http = &http.Client{Transport: transport}
	}
	r.left = map[string]time.Time{}
	err := r.loop()
	if errors.Is(err, errOver) {
		return r.over
	}
	return err
}

func (r *run) loop() error {
	for {
		if err := r.ready(); err != nil {
			return err
		}
		r.got, r.moved, r.restless, r.asked = false, false, false, map[string]*subscription{}
		r.jitter = rand.Float64()
		r.forget(r.transport != Poll)
		err := r.connect()
		again := errors.Is(err, errAgain)
		switch {
		case r.got:
			r.failures, r.grace = 0, r.grace/2
		case again:
			r.grace = min(max(settle, 2*r.grace), mostGrace)
		}
		switch {
		case again && r.restless:
			err = errRestless
		case again:
			continue
		}
		r.forget(true)
		switch {
		case final(err):
			return err
		case r.ctx.Err() != nil:
			return r.ctx.Err()
		case errors.Is(err, ErrUnauthorized): // of a Subscriber
			only := r.roster.all()[0]
			if r.newToken == nil || !only.signed {
				return ErrUnauthorized // without a token, newToken itself has returned it
			}
			if only.denyToken() {
				continue
			}
		}
		status, _ := errors.AsType[*StatusError](err)
		switch {
		case status != nil && status.Status == http.StatusNoContent:
			if err := r.leaveAsked(ErrEnded); err != nil {
				return err
			}
			continue
		case !Temporary(err) && !errors.Is(err, ErrUnauthorized): // there may be a better token
			return err
		}
		if err := r.wait(err); err != nil {
			return err
		}
	}
}

// forget forgets that the channels have told their positions, if all is true; with Poll
// that lasts until a failure.
func (r *run) forget(all bool) {
	for _, s := range r.roster.all() {
		s.told = s.told && !all
	}
}

// final reports whether err ends Messages whatever else has happened.
func final(err error) bool {
	return errors.Is(err, errStopped) || errors.Is(err, errOver) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrTooOld)
}

// ready waits until there is a channel to ask for.
func (r *run) ready() error {
	for {
		wait := time.Duration(1<<63 - 1) // no channel: until one is added
		for _, s := range r.roster.all() {
			wait = min(wait, time.Until(s.notBefore))
		}
		if wait <= 0 {
			return nil
		}
		if err := r.sleep(wait, r.roster.changed); err != nil {
			return err
		}
	}
}

// sleep waits for a time, or until there is something in c. Its error is that of ctx.
func (r *run) sleep(wait time.Duration, c <-chan struct{}) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-timer.C:
	case <-c:
	}
	return nil
}

// wanted lists the channels to ask for, each with its token.
func (r *run) wanted() (list []*subscription, err error) {
	for _, s := range r.roster.all() {
		if !s.due(r) {
			continue
		}
		err := s.sign()
		switch {
		case err == nil:
			list = append(list, s)
		case !r.many:
			return nil, err
		default:
			if err := s.refused(err); err != nil {
				return nil, err
			}
		}
	}
	if len(list) == 0 {
		return nil, errAgain
	}
	return list, nil
}

// leave ends the following of a channel, and is errOver if it was the last one.
func (r *run) leave(s *subscription, why error) error {
	delete(r.asked, s.name)
	maps.DeleteFunc(r.left, func(_ string, at time.Time) bool { return time.Since(at) > leastHeartbeat })
	r.left[s.name] = time.Now()
	if last, there := r.roster.remove(s); there && r.onEnd != nil {
		r.onEnd(last, why)
	}
	if len(r.roster.all()) > 0 { // onEnd may have added one
		return nil
	}
	r.over = why
	return errOver
}

// leaveAsked leaves the channels that the last connection has asked for.
func (r *run) leaveAsked(why error) (err error) {
	for _, s := range r.roster.all() {
		if r.asked[s.name] == s {
			err = r.leave(s, why)
		}
	}
	return err
}

// pause is the wait after so many failures, of which err is the last one.
func (r *run) pause(failures int, err error) time.Duration {
	least, most := r.minBackoff, r.maxBackoff
	if least <= 0 {
		least = defaultMinBackoff
	}
	if most <= 0 {
		most = defaultMaxBackoff
	}
	bound := most
	if least <= most>>min(failures, 20) {
		bound = least << min(failures, 20)
	}
	wait := bound/2 + time.Duration(r.jitter*float64(bound/2))
	if retry := min(r.retry, max(most, mostRetry)); retry > 0 {
		wait = max(wait, retry+rand.N(retry/4+1))
	}
	if errors.Is(err, ErrTooMany) {
		wait += tooManyBackoff
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		wait = max(wait, min(status.RetryAfter, most))
	}
	return wait
}

// wait waits before the next connection.
func (r *run) wait(err error) error {
	wait := r.pause(r.failures, err)
	r.failures++
	r.failed(err, wait)
	return r.sleep(wait, nil)
}

func (r *run) failed(err error, wait time.Duration) {
	if r.onError != nil {
		r.onError(err, wait)
	}
}

// errTooFew: the server brings only the first of several channels.
var errTooFew = fmt.Errorf("%w: it follows only one channel on a connection", ErrTooOld)
