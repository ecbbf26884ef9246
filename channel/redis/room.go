package redis

import (
	"context"
	"sync"

	"github.com/redis/rueidis"
)

// nearMargin is how many channels the other nodes may create unnoticed between two
// heartbeats. Nearer to the limit, the channels are counted before one is created.
const nearMargin = 10_000

// room estimates the number of channels, for max_channels. There is no counter in Redis,
// because no script could change it together with a channel, which is in another slot.
// Nodes that create channels at the same moment at the limit can exceed it by their calls
// in progress.
type room struct {
	mu      sync.Mutex
	counted int64 // by the last census, plus what this node has created and minus what it has freed since
	kept    int64 // places reserved for creations in progress
}

// near reports that the channels must be counted before one is created.
func (e *Engine) near() bool {
	e.room.mu.Lock()
	defer e.room.mu.Unlock()
	return e.room.counted+e.room.kept+nearMargin > int64(e.hub.Limits().MaxChannels)
}

// keep reserves a place for a channel that a call may create.
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

// made counts channels that this node has created or (negative) freed.
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
	for _, r := range send(ctx, e.client, commands...) {
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
