package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Message is one published message. The JSON form is that of the server, and what the
// client knows in addition.
type Message struct {
	Type    string `json:"type"` // data, or broadcast (published to all channels)
	Channel string `json:"cname"`
	Seq     int64  `json:"seq"` // from 1, plus one for each message of the channel
	Content string `json:"content"`

	// Epoch and Seq are the message's position. "": the server does not know positions
	// (it is older than 0.2), so nothing is certain after a break.
	Epoch string `json:"epoch,omitempty"`
	// Lost is the number of messages directly before this one that are gone for good; -1:
	// nobody can know how many, perhaps none.
	Lost int64 `json:"lost,omitempty"`
	// Reason says why. "": Lost is 0, or is only what the numbers of a server before 0.2
	// show.
	Reason Reason `json:"reason,omitempty"`
	// Restarted says that the numbering before this message was another one: the channel
	// was freed and created again, or lost with its server.
	Restarted bool `json:"restarted,omitempty"`
}

// Position is where a later Subscriber goes on after this message (From). It is the zero
// value if the server does not know positions.
func (m *Message) Position() Position {
	if m.Epoch == "" {
		return Position{}
	}
	return Position{m.Epoch, m.Seq}
}

// Types of what the server sends.
const (
	typeData      = "data"
	typeBroadcast = "broadcast"
	typeNextSeq   = "next_seq"
	typePosition  = "position"
	typeEnd       = "end"
	typeClose     = "close"
	typeToken     = "401"
	typeTooMany   = "429"
	typeNoop      = "noop"
	typeBad       = "400" // a command that cannot be carried out
	typeLeft      = "unsubscribed"
)

var (
	// ErrEnded ends Messages for good: the channel has ended, and the client has had all
	// of it, or the server answers 204. Publishing to such a channel fails with it too.
	ErrEnded = errors.New("the channel has ended")
	// ErrClosed ends Messages: the server has closed the channel.
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

// errCut ends a connection that is meant to be endless.
var errCut = errors.New("the server ended the response")

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
// that says that the call itself is wrong: a URL that is none, ErrEnded, ErrClosed,
// ErrUnauthorized, ErrTooLarge, ErrTooOld, or a *StatusError with a status that does not
// pass, as that of a *ConflictError.
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
	return !noURL && !slices.ContainsFunc(lasting, func(e error) bool { return errors.Is(err, e) })
}

// lasting are the errors that a new attempt would not change.
var lasting = []error{ErrEnded, ErrClosed, ErrUnauthorized, ErrTooLarge, ErrTooOld}

// incoming is what the server sends: a Message, or something about messages.
type incoming struct {
	Message
	Recovered bool `json:"recovered"` // of a position, which also has Lost and Reason
}

// decode reads one message.
func decode(b []byte) (incoming, error) {
	var m incoming
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("not a message: %.80q: %w", b, err)
	}
	return m, nil
}
