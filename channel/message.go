package channel

// Type says what a Message is.
type Type uint8

const (
	Data      Type = iota // published to one channel; stored
	Broadcast             // published to every channel; stored
	Closed                // the channel was closed; ends its subscribers; not stored
	Online                // presence: the channel named by Content was created, or is still there
	Offline               // presence: the channel named by Content was freed
)

// Message is immutable and passed by value: storing it in a ring or an inbox
// allocates nothing beyond its content, which all of them share.
type Message struct {
	Seq     int64  // its number in the channel; for Closed the channel's next seq
	Content string // Data, Broadcast: the body of a JSON string, without quotes; presence: the channel's name
	Type    Type
}
