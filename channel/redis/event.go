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
	kindFinal     = 'L' // a message that ends the channel
	kindEnded     = 'E'
	kindRenamed   = 'R' // it has this epoch from here on
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
	seq     int64  // of the message; other kinds: the channel's next
	before  string // the mark of the message before
	mark    string // its own mark
	content string
	heard   int // its place among the events that its mirror has held, from 1
}

// stored reports that the event is a message.
func (ev *event) stored() bool {
	return ev.kind == kindData || ev.kind == kindBroadcast || ev.kind == kindFinal
}

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
func (ev *event) message(at uint32) channel.Message {
	m := channel.Message{Seq: ev.seq, Content: ev.content, At: at}
	switch ev.kind {
	case kindBroadcast:
		m.Type = channel.Broadcast
	case kindFinal:
		m.Type = channel.Final
	}
	return m
}

// slack is how much later than in Redis a message is too old in a copy, in slots of hub
// time, which may be 300 ms old: a copy must not lack what Redis has.
const slack = 4

// stampLen is the length of the time in a stored message: tenths of a second.
const stampLen = 11

// parseStored reads an element of a history, see scripts/shed.lua. at is when it was
// stored; 0: nobody knows.
func parseStored(text string) (m channel.Message, mark string, at int64, ok bool) {
	if len(text) < 1+markLen {
		return m, "", 0, false
	}
	kind, mark, rest := text[0], text[1:1+markLen], text[1+markLen:]
	if kind == 'd' || kind == 'b' {
		if len(rest) < stampLen {
			return m, "", 0, false
		}
		var err error
		if at, err = strconv.ParseInt(rest[:stampLen], 10, 64); err != nil {
			return m, "", 0, false
		}
		rest = rest[stampLen:]
	}
	m.Content = rest
	if kind == 'b' || kind == kindBroadcast {
		m.Type = channel.Broadcast
	}
	return m, mark, at, true
}
