package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
)

var (
	// ErrClosed ends Messages: the server has closed the channel.
	ErrClosed = errors.New("the channel was closed")
	// ErrUnauthorized ends Messages: the token is refused, and there is no Token function
	// that returns another.
	ErrUnauthorized = errors.New("the token is not valid for the channel")
	// ErrTooMany is passed to OnError: the server has too many channels, or the channel
	// has too many subscribers.
	ErrTooMany = errors.New("too many channels or subscribers")
)

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

// decode reads a message, or a list of messages.
func decode(b []byte) ([]Message, error) {
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '[' {
		var list []Message
		err := json.Unmarshal(b, &list)
		return list, err
	}
	var m Message
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("not a message: %.80q: %w", b, err)
	}
	return []Message{m}, nil
}
