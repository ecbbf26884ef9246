package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// censusInterval is how old the number of channels may be when it matters; else
	// it is counted with each heartbeat.
	censusInterval = 100 * time.Millisecond
	// nearMargin is how many channels the other nodes may make unnoticed meanwhile.
	nearMargin = 10_000
)

// room knows about how many channels there are, for max_channels. No counter in
// Redis says it, since no script can change it together with a channel: they are in
// different slots. Nodes that create channels at the same time at the very limit can
// exceed it by what they create within a census.
type room struct {
	mu      sync.Mutex
	counted int64     // by the last census, and what this node has made and freed since
	kept    int64     // places for creations under way
	at      time.Time // of the census
}

// keep keeps a place for a channel that a call may create. It may ask Redis, so it is
// not for a loop.
func (e *Engine) keep(ctx context.Context) bool {
	most := int64(e.hub.Limits().MaxChannels)
	r := &e.room
	r.mu.Lock()
	due := r.counted+r.kept+nearMargin > most && time.Since(r.at) > censusInterval
	if due {
		r.at = time.Now() // whoever comes meanwhile goes by what is known
	}
	r.mu.Unlock()
	if due && e.census(ctx) != nil {
		return false // the call fails too
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counted+r.kept >= most {
		return false
	}
	r.kept++
	return true
}

func (r *room) giveBack() {
	r.mu.Lock()
	r.kept--
	r.mu.Unlock()
}

// made counts channels that this node has created, or (negative) freed.
func (r *room) made(n int64) {
	r.mu.Lock()
	r.counted += n
	r.mu.Unlock()
}

// census counts all channels.
func (e *Engine) census(ctx context.Context) error {
	commands := make([]rueidis.Completed, len(e.parts))
	for i, p := range e.parts {
		commands[i] = e.client.B().Zcard().Key(p.due).Build()
	}
	var n int64
	for _, r := range e.client.DoMulti(ctx, commands...) {
		part, err := r.AsInt64()
		if err != nil {
			return err
		}
		n += part
	}
	e.room.mu.Lock()
	e.room.counted, e.room.at = n, time.Now()
	e.room.mu.Unlock()
	return nil
}
