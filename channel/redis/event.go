package redis

import (
	"strconv"

	"icomet/channel"
)

// epochLen is the length of an epoch, which tells one life of a channel from another.
const epochLen = 16

// The kinds of an event, as the scripts write them.
const (
	kindData      = 'D'
	kindBroadcast = 'B'
	kindClosed    = 'X'
	kindCleared   = 'C'
	kindFreed     = 'F'
)

// event is what a script tells the followers of a channel.
type event struct {
	kind    byte
	epoch   string
	seq     int64 // Closed, Cleared, Freed: the channel's next
	content string
}

// parseEvent takes KIND EPOCH SEQ ":" CONTENT apart.
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
	ev.content = s[i+1:]
	return ev, true
}

// message of an event that is stored.
func (ev *event) message() channel.Message {
	return stored(ev.kind, ev.seq, ev.content)
}

func stored(kind byte, seq int64, content string) channel.Message {
	m := channel.Message{Seq: seq, Content: content}
	if kind == kindBroadcast {
		m.Type = channel.Broadcast
	}
	return m
}
