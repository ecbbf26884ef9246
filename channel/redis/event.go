package redis

import (
	"strconv"

	"icomet/channel"
)

// epochLen is the length of an epoch, which tells one life of a channel from another.
const epochLen = 16

// The kinds of events, as the scripts write them.
const (
	kindData      = 'D'
	kindBroadcast = 'B'
	kindClosed    = 'X'
	kindCleared   = 'C'
	kindFreed     = 'F'
)

// markLen is the length of a mark, which tells apart two messages with the same seq:
// after a fail-over, seqs that were not replicated are given out again.
const markLen = 8

// noMark stands for the mark before the first message.
const noMark = "00000000"

// event is what a script publishes to the nodes that follow a channel.
type event struct {
	kind    byte
	epoch   string
	seq     int64  // Closed, Cleared, Freed: the channel's next
	before  string // Data, Broadcast: the mark of the message before
	mark    string // Data, Broadcast: its own mark
	content string
	heard   int // its place among the events that its mirror has held, from 1
}

// stored reports that the event is a message.
func (ev *event) stored() bool { return ev.kind == kindData || ev.kind == kindBroadcast }

// parseEvent reads KIND EPOCH SEQ ":" CONTENT. For a message, the two marks precede the
// content.
func parseEvent(s string) (ev event, ok bool) {
	if len(s) < 1+epochLen+2 {
		return ev, false
	}
	ev.kind, ev.epoch = s[0], s[1:1+epochLen]
	s = s[1+epochLen:]
	i := 0
	for i < len(s) && s[i] != ':' {
		i++
	}
	var err error
	if ev.seq, err = strconv.ParseInt(s[:i], 10, 64); err != nil || i == len(s) {
		return ev, false
	}
	s = s[i+1:]
	if ev.stored() {
		if len(s) < 2*markLen {
			return ev, false
		}
		ev.before, ev.mark, s = s[:markLen], s[markLen:2*markLen], s[2*markLen:]
	}
	ev.content = s
	return ev, true
}

// message returns the message of an event for which stored is true.
func (ev *event) message() channel.Message {
	return storedMessage(ev.kind, ev.seq, ev.content)
}

func storedMessage(kind byte, seq int64, content string) channel.Message {
	m := channel.Message{Seq: seq, Content: content}
	if kind == kindBroadcast {
		m.Type = channel.Broadcast
	}
	return m
}

// wireEpoch is what subscribers get of an epoch: its first 8 digits, never 0.
func wireEpoch(epoch string) uint32 {
	n, _ := strconv.ParseUint(epoch[:8], 16, 32)
	return max(1, uint32(n))
}
