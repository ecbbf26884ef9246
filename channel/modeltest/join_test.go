package modeltest

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"icomet/channel"
)

// subscribe joins from any seq, with or without a token, as a stream or a poll.
func (w *world) subscribe(t *rapid.T) {
	name := drawName(t)
	s := rapid.SampledFrom(w.sinks).Draw(t, "sink")
	j := channel.Join{
		Name: []byte(name), Sink: s.number,
		Since:   rapid.Int64Range(-1, 12).Draw(t, "seq"),
		Auth:    rapid.Bool().Draw(t, "auth"),
		OneShot: rapid.Bool().Draw(t, "poll"),
	}
	c := w.model[name]
	if j.Auth {
		j.Token = []byte("0123456789abcdef0123456789abcdef")
		if c != nil && rapid.IntRange(0, 3).Draw(t, "right token") > 0 {
			j.Token = []byte(c.token)
		}
	} else {
		c = w.obtain(name)
	}
	want := w.refusal(c, &j)
	got, err := w.hub.Join(&j, nil)
	if !errors.Is(err, want) {
		t.Fatalf("join %s: %v, want %v", name, err, want)
	}
	if want == nil {
		w.joined(t, c, s, &j, got)
	}
}

func (w *world) refusal(c *modelChannel, j *channel.Join) error {
	switch {
	case c == nil && j.Auth, j.Auth && (c.token == "" || string(j.Token) != c.token):
		return channel.ErrToken
	case c == nil:
		return channel.ErrTooManyChannels
	case len(c.subs) >= w.limits.MaxSubscribers:
		return channel.ErrTooManySubscribers
	}
	return nil
}

// joined compares what a subscriber is given at the start.
func (w *world) joined(t *rapid.T, c *modelChannel, s *sink, j *channel.Join, got channel.Joined) {
	tellNext := j.Since <= 0 || j.Since > c.next
	var replay []channel.Message
	if !tellNext {
		for _, m := range c.kept {
			if m.Seq >= j.Since {
				replay = append(replay, m)
			}
		}
	}
	for i := range got.Replay {
		got.Replay[i].At = 0 // the model knows no times
	}
	subscribed := !j.OneShot || !tellNext && len(replay) == 0
	if got.Next != c.next || got.TellNext != tellNext || got.Subscribed != subscribed || !slices.Equal(got.Replay, replay) {
		t.Fatalf("join %s from %d: %+v, want next %d, tell %v, subscribed %v, replay %v",
			j.Name, j.Since, got, c.next, tellNext, subscribed, replay)
	}
	if !subscribed {
		w.extend(c, w.limits.Timeout)
		return
	}
	sub := &subscriber{of: c, ch: got.Channel, next: got.Next}
	c.subs[sub] = s
	s.subs = append(s.subs, sub)
}

func (w *world) disconnect(t *rapid.T) {
	s := rapid.SampledFrom(w.sinks).Draw(t, "sink")
	if len(s.subs) == 0 {
		return
	}
	sub := rapid.SampledFrom(s.subs).Draw(t, "subscriber")
	if len(sub.got) > len(sub.want) || !slices.Equal(sub.got, sub.want[:len(sub.got)]) {
		t.Fatalf("who leaves %s got %v, want a beginning of %v", sub.of.name, sub.got, sub.want)
	}
	s.leave(sub)
	delete(sub.of.subs, sub)
	w.extend(sub.of, w.limits.Timeout)
}

// pass lets time pass, in ticks. It never stops in the second in which a channel may
// exist or not.
func (w *world) pass(t *rapid.T) {
	const tick = 100 * time.Millisecond
	end := w.now + time.Duration(rapid.IntRange(1, 700).Draw(t, "ticks"))*tick
	for again := true; again; {
		again = false
		for _, c := range w.model {
			if len(c.subs) == 0 && c.deadline <= end && end <= c.deadline+freedWithin {
				end, again = c.deadline+freedWithin+tick, true
			}
		}
	}
	for w.now < end {
		w.now += min(tick, end-w.now)
		w.hub.Tick(w.now)
	}
	for name, c := range w.model {
		if len(c.subs) == 0 && c.deadline < end {
			delete(w.model, name)
		}
	}
}
