package channel

// Type is the kind of a Message.
type Type uint8

// The kinds of a Message.
const (
	Data      Type = iota // published to one channel; stored
	Broadcast             // published to every channel; stored
	Closed                // the channel was closed: its subscribers end; not stored
	Online                // presence: the channel named by Content was created, or still exists
	Offline               // presence: the channel named by Content was freed
	Moved                 // a follower's copy has a gap before Seq: its subscribers join again from Seq; not stored
	Ended                 // nothing more comes: its subscribers end; not stored
	// Final is Data behind which the channel has ended. It is one message, so that a queue
	// never brings the one without the other. It is stored as Data.
	Final
)

// Message is immutable and passed by value. All copies share the content, so storing one
// in a ring or an inbox allocates nothing more.
type Message struct {
	Seq     int64  // its number in the channel; Closed, Ended: the channel's next seq; Moved: the seq to go on from; presence: 0
	Content string // Data, Broadcast, Final: the body of a JSON string, without quotes; presence: the channel's name
	At      uint32 // Data, Broadcast, Final: when it was stored, hub time in slots of 100 ms (see Hub.Slot); Moved: see NewEpoch
	Type    Type
}

// NewEpoch is 0 or, of a Moved, the epoch that the channel has now. Nothing else has changed:
// who joins it in that life and has had everything before Seq misses nothing.
func (m *Message) NewEpoch() uint32 {
	if m.Type != Moved {
		return 0
	}
	return m.At
}

// Renamed is the Moved of a channel that has only got another epoch.
func Renamed(seq int64, epoch uint32) Message {
	return Message{Seq: seq, Type: Moved, At: epoch}
}
