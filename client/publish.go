package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Publication is a message to be published.
type Publication struct {
	Channel string
	Content string
	Encoded bool // Content is already the body of a JSON string, without the quotes

	// ID makes the server carry out the publish once, however often it is repeated: 1 to 64
	// visible ASCII bytes, like NewID makes. The server compares it with those of the
	// channel's last messages (front.id_window, at least 64).
	ID string

	// IfSeq, if it is not 0, is the number that the message must get; otherwise it is not
	// published. Epoch, if it is not "", is the epoch that the channel must have.
	IfSeq int64
	Epoch string
}

// Published is where a message is.
type Published struct {
	Position  Position // the zero value if the server is older than 0.2
	Duplicate bool     // it was published before, by the same ID; perhaps by an earlier try of the same call
}

// ErrTooOld says that the server is older than 0.2 and cannot do what is asked for.
var ErrTooOld = errors.New("the server is older than 0.2")

// ConflictError says that a message was not published, because the channel has ended, or
// because the message would not have had the number that it must have. If the channel has
// ended for certain, the error is ErrEnded too. It is also a *StatusError with status 409.
type ConflictError struct {
	Position Position // of the channel's last message; the zero value: there is no channel, or the server does not say
	Text     string   // the server's explanation
	ended    bool
}

// Error returns the text.
func (e *ConflictError) Error() string { return "HTTP 409: " + e.Text }

// Unwrap returns what the error is too.
func (e *ConflictError) Unwrap() []error {
	list := []error{&StatusError{Status: http.StatusConflict, Text: e.Text}}
	if e.ended {
		list = append(list, ErrEnded)
	}
	return list
}

// answerLimit is how long a call that is repeated waits for its answer.
const answerLimit = 30 * time.Second

var errNoAnswer = errors.New("the server does not answer")

// NewID makes an ID that no other publish has.
func NewID() string { return rand.Text() }

// Publish publishes a message, and creates the channel if needed. When it returns nil,
// the message is stored and queued to every subscriber.
//
// With an ID it returns only when it is certain whether the message is published: as long
// as the server does not answer, or refuses for a time, it repeats the call, until ctx
// ends. Without one it makes one try, and after an error of the connection the message may
// or may not be published. Errors: as of Admin; a *ConflictError; ErrTooOld if a repetition
// could publish twice, or if the server has published without looking at IfSeq.
func (a *Admin) Publish(ctx context.Context, p Publication) (Published, error) {
	path := "/push"
	if p.Encoded {
		path = "/pub"
	}
	form := url.Values{"cname": {p.Channel}, "content": {p.Content}, "position": {"1"}}
	if p.ID != "" {
		form.Set("id", p.ID)
	}
	if p.IfSeq != 0 {
		form.Set("if_seq", strconv.FormatInt(p.IfSeq, 10))
	}
	if p.Epoch != "" {
		form.Set("epoch", p.Epoch)
	}
	var done struct {
		Seq       int64
		Epoch     string
		Duplicate bool
	}
	err := a.repeat(ctx, p.ID != "", func(ctx context.Context) error { return a.callJSON(ctx, path, form, &done) })
	if err != nil {
		return Published{}, p.conflict(err)
	}
	if done.Epoch == "" {
		if p.IfSeq != 0 {
			return Published{}, fmt.Errorf("%w: it has published the message whatever its number is", ErrTooOld)
		}
		return Published{}, nil
	}
	return Published{Position{done.Epoch, done.Seq}, done.Duplicate}, nil
}

// PublishEnd publishes a message, and ends the channel after it, as one step. next is the
// number that no message will have any more. It repeats the call as Publish does. IfSeq
// and Epoch must not be set.
func (a *Admin) PublishEnd(ctx context.Context, p Publication) (next int64, err error) {
	if p.IfSeq != 0 || p.Epoch != "" {
		return 0, errors.New("the last message of a channel cannot have IfSeq or Epoch")
	}
	form := url.Values{"cname": {p.Channel}, "content": {p.Content}}
	if p.Encoded {
		text, err := decodeText(p.Content)
		if err != nil {
			return 0, err
		}
		form.Set("content", text)
	}
	if p.ID != "" {
		form.Set("id", p.ID)
	}
	err = a.repeat(ctx, p.ID != "", func(ctx context.Context) (err error) {
		next, err = a.control(ctx, "/end", form)
		return err
	})
	return next, p.conflict(tooOld(err, "/end"))
}

// End ends a channel: its subscribers get what is stored, and come back no more.
// Otherwise it is like Close, but the stored messages stay as long as those of a channel
// without subscribers.
func (a *Admin) End(ctx context.Context, channel string) (next int64, err error) {
	next, err = a.control(ctx, "/end", url.Values{"cname": {channel}})
	return next, tooOld(err, "/end")
}

// BroadcastID is Broadcast that is carried out once for each channel, and repeats the call
// as Publish does. id is as in Publication.
func (a *Admin) BroadcastID(ctx context.Context, content, id string) error {
	form := url.Values{"content": {content}, "id": {id}}
	return a.repeat(ctx, true, func(ctx context.Context) error {
		_, err := a.call(ctx, "/broadcast", form)
		return err
	})
}

// decodeText reads the body of a JSON string.
func decodeText(encoded string) (text string, err error) {
	if json.Unmarshal([]byte(`"`+encoded+`"`), &text) != nil {
		return "", &StatusError{Status: http.StatusBadRequest, Text: "content is not the body of a JSON string"}
	}
	return text, nil
}

// conflict makes a *ConflictError of an answer with status 409.
func (p *Publication) conflict(err error) error {
	status, ok := errors.AsType[*StatusError](err)
	if !ok || status.Status != http.StatusConflict {
		return err
	}
	var at struct {
		Seq            int64
		Epoch, Content string
	}
	if json.Unmarshal([]byte(status.Text), &at) != nil || at.Content == "" {
		at.Content = status.Text
	}
	c := &ConflictError{Text: at.Content}
	if at.Epoch != "" {
		c.Position = Position{at.Epoch, at.Seq - 1}
	}
	// With the right number and the right epoch, only the end is left as the reason.
	c.ended = p.IfSeq == 0 || p.IfSeq == at.Seq && at.Epoch != "" && (p.Epoch == "" || p.Epoch == at.Epoch)
	return c
}

// tooOld says it in words when the server does not know a path. (A channel that it does
// not know is a 404 too.)
func tooOld(err error, path string) error {
	status, ok := errors.AsType[*StatusError](err)
	if ok && status.Status == http.StatusNotFound && !strings.HasPrefix(status.Text, "channel[") {
		return fmt.Errorf("%w, or the URL is not that of its admin port: there is no %s", ErrTooOld, path)
	}
	return err
}

// repeat makes a call until it succeeds, or another one would not, or ctx ends. Only a
// call that the server carries out once, because it has an id, can be repeated.
func (a *Admin) repeat(ctx context.Context, repeatable bool, once func(context.Context) error) error {
	if !repeatable {
		return once(ctx)
	}
	certain := false
	for failures := 0; ; failures++ {
		var err error
		if failures > 0 && !certain {
			certain, err = a.knowsIDs(ctx)
		}
		if err == nil {
			err = limited(ctx, once)
		}
		if err == nil || !Temporary(err) {
			return err
		}
		if err := a.wait(ctx, failures, err); err != nil {
			return err
		}
	}
}

// wait waits before the next try, longer after each failure. It returns the error of ctx,
// with the last failure.
func (a *Admin) wait(ctx context.Context, failures int, err error) error {
	if errors.Is(err, ctx.Err()) {
		return err
	}
	bound := min(defaultMaxBackoff, defaultMinBackoff<<min(failures, 20))
	wait := bound/2 + mrand.N(bound/2+1)
	if status, ok := errors.AsType[*StatusError](err); ok {
		wait = max(wait, min(status.RetryAfter, defaultMaxBackoff))
	}
	if a.OnError != nil {
		a.OnError(err, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w; the last failure: %w", ctx.Err(), err)
	case <-timer.C:
		return nil
	}
}

// limited makes a call that has to be answered within answerLimit.
func limited(ctx context.Context, once func(context.Context) error) error {
	try, cancel := context.WithTimeoutCause(ctx, answerLimit, errNoAnswer)
	defer cancel()
	err := once(try)
	if err != nil && context.Cause(try) == errNoAnswer {
		return errNoAnswer
	}
	return err
}

// knowsIDs asks the server whether it knows ids: one that does has a path that cannot be
// read with GET. Otherwise the error is ErrTooOld.
func (a *Admin) knowsIDs(ctx context.Context) (bool, error) {
	err := limited(ctx, func(ctx context.Context) error {
		_, err := get(ctx, a.client(), a.URL, batchPath, nil, a.Key)
		return err
	})
	status, answered := errors.AsType[*StatusError](err)
	switch {
	case answered && status.Status == http.StatusMethodNotAllowed:
		return true, nil
	case answered && status.Status == http.StatusNotFound:
		return false, fmt.Errorf("%w: it may have published, and would do so again", ErrTooOld)
	case err == nil:
		return false, &StatusError{Status: http.StatusOK, Text: "GET " + batchPath + " is not how an iComet server answers"}
	}
	return false, err
}
