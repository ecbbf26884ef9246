// Package client talks to an iComet server from Go: Subscriber receives a channel's
// messages without loss, Admin signs, publishes and controls.
//
//	sub := client.Subscriber{URL: "http://127.0.0.1:8100", Channel: "news"}
//	for msg, err := range sub.Messages(ctx) {
//		if err != nil {
//			return err // the context has ended, or it makes no sense to go on
//		}
//		fmt.Println(msg.Content)
//	}
//
//	admin := client.Admin{URL: "http://127.0.0.1:8000"}
//	err := admin.Push(ctx, "news", "hello")
package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Message is one published message.
type Message struct {
	Type    string `json:"type"` // data, or broadcast: published to all channels
	Channel string `json:"cname"`
	Seq     int64  `json:"seq"` // from 1, one more for each message of the channel
	Content string `json:"content"`

	// Lost is how many messages before this one had left the server's buffer before
	// they could be had.
	Lost int64 `json:"lost,omitempty"`
	// Restarted says that the numbering began anew before this message: the channel
	// was freed, or the server restarted.
	Restarted bool `json:"restarted,omitempty"`
}

// What a server sends beside messages.
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
	// ErrClosed ends Messages: the channel was closed on the server's side.
	ErrClosed = errors.New("the channel was closed")
	// ErrUnauthorized ends Messages when no Token function can give another token.
	ErrUnauthorized = errors.New("the token is not valid for the channel")
	// ErrTooMany is given to OnError: the server has too many channels, or the
	// channel too many subscribers.
	ErrTooMany = errors.New("too many channels or subscribers")
)

// StatusError is an answer with another status than 200.
type StatusError struct {
	Status     int
	Text       string        // the server's sentence
	RetryAfter time.Duration // 0: the server did not say
}

// Error is the status and the sentence.
func (e *StatusError) Error() string {
	return fmt.Sprintf("HTTP %d: %s", e.Status, e.Text)
}

// decode reads a message, or a list of them.
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
