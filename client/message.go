package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Message is one published message. The JSON form is that of the server.
type Message struct {
	Type    string `json:"type"` // data, or broadcast (published to all channels)
	Channel string `json:"cname"`
	Seq     int64  `json:"seq"` // from 1, plus one for each message of the channel
	Content string `json:"content"`

	// Lost is the number of messages directly before this one that had left the server's
	// buffer.
	Lost int64 `json:"lost,omitempty"`
	// Restarted says that the numbering started again before this message: the channel
	// was freed, or the server was restarted.
	Restarted bool `json:"restarted,omitempty"`
}

// Types that are not messages.
const (
	typeData      = "data"
	typeBroadcast = "broadcast"
	typeNextSeq   = "next_seq"
	typeNoop      = "noop"
	typeClose     = "close"
	typeToken     = "401"
	typeTooMany   = "429"
	typePosition  = "position"
)

var (
	// ErrClosed ends Messages: the server has closed the channel, or answers 204: there
	// is nothing more to come.
	ErrClosed = errors.New("the channel was closed")
	// ErrUnauthorized ends Messages: the token is refused, and there is no Token function
	// that returns another.
	ErrUnauthorized = errors.New("the token is not valid for the channel")
	// ErrTooMany is passed to OnError: the server has too many channels, or the channel
	// has too many subscribers.
	ErrTooMany = errors.New("too many channels or subscribers")
	// ErrTooLarge ends Messages: a message is larger than 64 MiB.
	ErrTooLarge = errors.New("a message is larger than 64 MiB")
)

// errEnded ends a connection that is meant to be endless.
var errEnded = errors.New("the server ended the response")

// StatusError is an answer with a status other than 200.
type StatusError struct {
	Status     int
	Text       string        // the server's explanation
	RetryAfter time.Duration // 0: not given
}

// Error returns the status and the text.
func (e *StatusError) Error() string {
	return fmt.Sprintf("HTTP %d: %s", e.Status, e.Text)
}

// Temporary reports whether the same call may succeed later. It does not after an error
// that says that the call itself is wrong: a URL that is none, ErrClosed, ErrUnauthorized,
// ErrTooLarge, or a *StatusError with a status that does not pass.
func Temporary(err error) bool {
	if status, ok := errors.AsType[*StatusError](err); ok {
		switch status.Status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
			return false
		}
		return status.Status >= http.StatusInternalServerError
	}
	_, noURL := errors.AsType[*addressError](err)
	return !noURL && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrUnauthorized) && !errors.Is(err, ErrTooLarge)
}

// incoming is what the server sends: a Message, or something about messages.
type incoming struct {
	Message
	Reason string `json:"reason"` // of a position: what happened to the numbering
}

// decode reads one message.
func decode(b []byte) (incoming, error) {
	var m incoming
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("not a message: %.80q: %w", b, err)
	}
	return m, nil
}
