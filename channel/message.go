package channel

// Type says what a Message is.
type Type uint8

const (
	Data      Type = iota // published to one channel; stored
	Broadcast             // published to every channel; stored
	Closed                // the channel was closed; ends its subscribers; not stored
	Online                // presence: the channel named by Content was created, or is still there
	Offline               // presence: the channel named by Content was freed
	Moved                 // a follower's copy has a gap before Seq: its subscribers join again from there; not stored
)

// Message is immutable and passed by value: storing it in a ring or an inbox
// allocates nothing beyond its content, which all of them share.
type Message struct {
	Seq     int64  // its number in the channel; for Closed the channel's next seq, for Moved the seq to go on from
	Content string // Data, Broadcast: the body of a JSON string, without quotes; presence: the channel's name
	Type    Type
}
