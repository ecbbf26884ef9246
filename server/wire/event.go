package wire

import (
	"strconv"

	"icomet/channel"
)

// The types of an event on the wire.
const (
	TypeData      = "data"
	TypeBroadcast = "broadcast"
	typeNextSeq   = "next_seq"
	TypeNoop      = "noop"
	typeClose     = "close"
	typeEnd       = "end"
	typePosition  = "position"
	TypeToken     = "401"
	TypeTooMany   = "429"
	TypeBad       = "400"
)

// Channel is the channel of an event.
type Channel struct {
	Name  []byte // as the body of a JSON string
	Epoch uint32
}

// Event is one message as a subscriber sees it. Content is the body of a JSON string.
type Event struct {
	Type     string
	Channel  Channel
	Seq      int64
	Content  string
	Recovery channel.Recovery // what a position says
	// Named says that a browser gives it to the listeners of event "lost" and not to
	// onmessage.
	Named bool
}

// NextSeqEvent tells a subscriber the next seq to ask for.
func NextSeqEvent(ch Channel, seq int64) Event {
	return Event{Type: typeNextSeq, Channel: ch, Seq: seq}
}

// EndEvent says that the channel has ended before message seq.
func EndEvent(ch Channel, seq int64) Event { return Event{Type: typeEnd, Channel: ch, Seq: seq} }

// PositionEvent says that message seq is the first that follows, and what the subscriber
// misses.
func PositionEvent(ch Channel, seq int64, recovery channel.Recovery) Event {
	return Event{Type: typePosition, Channel: ch, Seq: seq, Recovery: recovery}
}

func messageEvent(ch Channel, m *channel.Message) Event {
	e := Event{Type: TypeData, Channel: ch, Seq: m.Seq, Content: m.Content}
	switch m.Type {
	case channel.Broadcast:
		e.Type = TypeBroadcast
	case channel.Closed:
		e.Type = typeClose
	case channel.Ended:
		e.Type = typeEnd
	case channel.Moved:
		e.Type = typeNextSeq
	case channel.Online:
		e.Type = "1"
	case channel.Offline:
		e.Type = "0"
	}
	return e
}

// behind is the event that follows the one of m, if there is one.
func behind(ch Channel, m *channel.Message) (e Event, ok bool) {
	switch m.Type {
	case channel.Broadcast: // old clients do not count broadcasts
		return NextSeqEvent(ch, m.Seq+1), true
	case channel.Final:
		return EndEvent(ch, m.Seq+1), true
	}
	return e, false
}

// append writes {"type":…,"cname":…,"seq":…,"content":…}, compact, in this order; a
// position has more.
func (e *Event) append(dst []byte, scriptSafe bool) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, e.Type...)
	dst = append(dst, `","cname":"`...)
	if scriptSafe {
		dst = appendScriptSafe(dst, e.Channel.Name)
	} else {
		dst = append(dst, e.Channel.Name...)
	}
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendInt(dst, e.Seq, 10)
	dst = append(dst, `,"content":"`...)
	if scriptSafe {
		dst = appendScriptSafe(dst, e.Content)
	} else {
		dst = append(dst, e.Content...)
	}
	dst = append(dst, '"')
	if e.Type == typePosition {
		dst = e.appendRecovery(dst)
	}
	return append(dst, '}')
}

func (e *Event) appendRecovery(dst []byte) []byte {
	dst = append(dst, `,"epoch":"`...)
	dst = AppendEpoch(dst, e.Channel.Epoch)
	dst = append(dst, `","recovered":`...)
	dst = strconv.AppendBool(dst, e.Recovery.Recovered)
	dst = append(dst, `,"lost":`...)
	dst = strconv.AppendInt(dst, e.Recovery.Lost, 10)
	if !e.Recovery.Recovered {
		dst = append(dst, `,"reason":"`...)
		dst = append(append(dst, e.Recovery.Reason...), '"')
	}
	return dst
}

// epochDigits is the length of an epoch on the wire.
const epochDigits = 8

// AppendEpoch appends an epoch as 8 hex digits.
func AppendEpoch(dst []byte, epoch uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[epoch>>shift&15])
	}
	return dst
}

// ParseEpoch reads 8 lower-case hex digits. It never gives 0, which stands for no epoch.
func ParseEpoch(text []byte) (epoch uint32, ok bool) {
	if len(text) != epochDigits {
		return 0, false
	}
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			epoch = epoch<<4 | uint32(c-'0')
		case c >= 'a' && c <= 'f':
			epoch = epoch<<4 | uint32(c-'a'+10)
		default:
			return 0, false
		}
	}
	if epoch == 0 {
		epoch = channel.ForeignEpoch
	}
	return epoch, true
}
