package modeltest

import (
	"slices"

	"pgregory.net/rapid"

	"icomet/channel"
)

// subscriber belongs to one sink; it has what it got and what it should have got.
type subscriber struct {
	of        *modelChannel
	ch        *channel.Channel
	next      int64 // messages with a lower seq are skipped, as in the server
	got, want []channel.Message
}

type delivery struct {
	ch *channel.Channel
	m  channel.Message
}

// sink stands for a slow event loop: what is pushed waits until run. It does what the
// server's loop does, in the plainest way.
type sink struct {
	hub    *channel.Hub
	number int
	limit  int // of the inbox; 0: none
	inbox  []delivery
	taken  []delivery // out of the inbox, but not delivered yet
	subs   []*subscriber
	stray  int // messages of channels without a subscriber on this sink
	asked  int // Pushes that asked for a Wake
	woken  int
}

func (s *sink) Push(ch *channel.Channel, m channel.Message) bool {
	s.inbox = append(s.inbox, delivery{ch, m})
	if !slices.ContainsFunc(s.subs, func(sub *subscriber) bool { return sub.ch == ch }) {
		s.stray++
	}
	if len(s.inbox) == 1 {
		s.asked++
		return true
	}
	return false
}

func (s *sink) Wake()          { s.woken++ }
func (s *sink) Full() bool     { return s.limit > 0 && len(s.inbox) >= s.limit }
func (s *sink) HalfFull() bool { return s.limit > 0 && 2*len(s.inbox) >= s.limit }
func (s *sink) Busy() bool     { return s.limit > 0 && 4*len(s.inbox) >= s.limit }

// take makes room in the inbox.
func (s *sink) take() {
	s.taken = append(s.taken, s.inbox...)
	s.inbox = nil
}

// run delivers what waits; then every subscriber must have what the model says.
func (s *sink) run(t *rapid.T) {
	s.take()
	taken := s.taken
	s.taken = nil
	for _, d := range taken {
		for _, sub := range slices.Clone(s.subs) {
			if sub.ch == d.ch && d.m.Seq >= sub.next {
				d.m.At = 0 // the model knows no times
				sub.got = append(sub.got, d.m)
				sub.next = d.m.Seq + 1
				if d.m.Type == channel.Closed {
					sub.check(t)
					s.leave(sub)
				}
			}
		}
	}
	for _, sub := range s.subs {
		sub.check(t)
	}
}

func (sub *subscriber) check(t *rapid.T) {
	if !slices.Equal(sub.got, sub.want) {
		t.Fatalf("a subscriber of %s got %v, want %v", sub.of.name, sub.got, sub.want)
	}
}

// leave is the loop's unsubscribe.
func (s *sink) leave(sub *subscriber) {
	s.subs = slices.DeleteFunc(s.subs, func(o *subscriber) bool { return o == sub })
	last := !slices.ContainsFunc(s.subs, func(o *subscriber) bool { return o.ch == sub.ch })
	s.hub.Leave(sub.ch, s.number, last)
}
