package redis

import (
	"context"
	"sync"

	"github.com/redis/rueidis"
)

// nearMargin is how many channels the other nodes may make unnoticed between two
// heartbeats: nearer to the limit, the channels are counted first.
const nearMargin = 10_000

// room knows about how many channels there are, for max_channels. No counter in
// Redis says it, since no script can change it together with a channel: they are in
// different slots. Nodes that create channels at the same time at the very limit can
// exceed it by what they have under way.
type room struct {
	mu      sync.Mutex
	counted int64 // by the last census, and what this node has made and freed since
	kept    int64 // places for creations under way
}

// near reports that the channels have to be counted before one is made.
func (e *Engine) near() bool {
	e.room.mu.Lock()
	defer e.room.mu.Unlock()
	return e.room.counted+e.room.kept+nearMargin > int64(e.hub.Limits().MaxChannels)
}

// keep keeps a place for a channel that a call may create.
func (e *Engine) keep() bool {
	most := int64(e.hub.Limits().MaxChannels)
	e.room.mu.Lock()
	defer e.room.mu.Unlock()
	if e.room.counted+e.room.kept >= most {
		return false
	}
	e.room.kept++
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
	e.room.counted = n
	e.room.mu.Unlock()
	return nil
}
