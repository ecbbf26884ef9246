package client

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Position names a message of a channel for ever. Seq alone does not: a channel that was
// freed, or lost with its server, and is created again numbers its messages from 1 again.
// The zero value is no position.
type Position struct {
	Epoch string // names one life of the numbering: 8 lower-case hexadecimal digits
	Seq   int64  // the message's number; 0: before the first one
}

// errPosition says what a position looks like.
var errPosition = errors.New("want a position: EPOCH-SEQ, 8 lower-case hexadecimal digits and a number, like 9f86d081-57")

// ParsePosition reads the text form, EPOCH-SEQ.
func ParsePosition(text string) (Position, error) {
	epoch, number, found := strings.Cut(text, "-")
	seq, err := strconv.ParseInt(number, 10, 64)
	p := Position{epoch, seq}
	if !found || err != nil || !p.valid() || p.String() != text { // "+5" and "05" are numbers too
		return Position{}, errPosition
	}
	return p, nil
}

// String returns the text form, EPOCH-SEQ; of the zero value "".
func (p Position) String() string {
	if p == (Position{}) {
		return ""
	}
	return p.Epoch + "-" + strconv.FormatInt(p.Seq, 10)
}

// MarshalText returns the text form, so that a Position can be in JSON.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the text form; of an empty text it makes the zero value.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p = Position{}
	if len(text) > 0 {
		*p, err = ParsePosition(string(text))
	}
	return err
}

func (p Position) valid() bool {
	if len(p.Epoch) != 8 || p.Seq < 0 || p.Seq == math.MaxInt64 {
		return false
	}
	return strings.Trim(p.Epoch, "0123456789abcdef") == ""
}

// Recovery is what a subscriber is told when it comes, or comes back, to a channel, and
// when the channel's numbering changes.
type Recovery struct {
	Position Position // directly before the next message; the zero value if the server tells none (it is older than 0.2)

	// Recovered is true only if it is certain that no message is missing. A subscription
	// that begins (from now, with all that is stored, with the last ones) misses nothing.
	Recovered bool
	Lost      int64  // messages that are gone for good; -1: nobody can know how many, perhaps none
	Reason    Reason // why; "" if Recovered, or if the server tells no position and Lost is what its numbers show
}

// Reason says why messages are missing, or may be.
type Reason string

// The reasons.
const (
	ReasonTrimmed Reason = "trimmed" // they had left the server's buffer: Lost is exact
	ReasonEpoch   Reason = "epoch"   // the numbering is another one than the client's, or the client had only a number
	ReasonAhead   Reason = "ahead"   // the channel has not reached the client's position yet
)
