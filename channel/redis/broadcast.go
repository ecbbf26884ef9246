package redis

import (
	"slices"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

const (
	// broadcastQueue bounds the broadcasts that wait for the one in progress.
	broadcastQueue = 64
	// broadcastSlice is how many channels one script call writes to: some 10 µs each, in
	// which Redis does nothing else.
	broadcastSlice = 100
	// broadcastParts is how many partitions are listed at a time, and broadcastCalls how
	// many script calls make a round trip: some 16 ms of Redis's time, in 16 pieces.
	broadcastParts = 32
	broadcastCalls = 16
	// broadcastPause is how long a broadcast, or the reading of pub/sub, waits when a
	// loop of this node is behind.
	broadcastPause = time.Millisecond
)

type broadcast struct {
	content, id string
	done        channel.Done
}

// Broadcast writes to every channel that Redis has when its partition's turn comes. It
// queues the message for one worker; ErrOverloaded when 64 broadcasts are waiting.
func (e *Engine) Broadcast(content, id string, done channel.Done) {
	if !e.begin(done) {
		return
	}
	select {
	case e.broadcasts <- broadcast{content, id, done}:
	default:
		e.finish(done, channel.Result{Err: channel.ErrOverloaded})
	}
}

// broadcastLoop carries out one broadcast after the other. One that waits is not timed, as
// long as those before it get on. When one fails, Redis does not answer: those that wait
// are refused with it, rather than each after a timeout of its own.
func (e *Engine) broadcastLoop() {
	for {
		select {
		case b := <-e.broadcasts:
			err := e.broadcast(&b)
			e.finish(b.done, channel.Result{Err: err})
			if err != nil {
				e.refuseBroadcasts(err)
			}
		case <-e.stop:
			return
		}
	}
}

func (e *Engine) refuseBroadcasts(err error) {
	for {
		select {
		case b := <-e.broadcasts:
			e.stats.refused.Add(1)
			e.finish(b.done, channel.Result{Err: err})
		default:
			return
		}
	}
}

// broadcast writes to some partitions at a time. When it fails, some channels have the
// message: with an id it can be repeated, by any node.
func (e *Engine) broadcast(b *broadcast) error {
	for parts := range slices.Chunk(e.parts, broadcastParts) {
		if e.lanesDown() {
			return channel.ErrUnavailable
		}
		if err := e.pause(); err != nil {
			return err
		}
		calls, err := e.broadcastCalls(parts, b)
		if err != nil {
			return e.failed("broadcast", err)
		}
		for some := range slices.Chunk(calls, broadcastCalls) {
			if err := e.pause(); err != nil {
				return err
			}
			ctx, cancel := e.deadline()
			err := firstError(runScripts(ctx, e.client, some))
			cancel()
			if err != nil {
				return e.failed("broadcast", err)
			}
		}
	}
	return nil
}

// lanesDown reports that some channels cannot be reached.
func (e *Engine) lanesDown() bool {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	for _, g := range e.groups {
		if g.down() {
			return true
		}
	}
	return false
}

// broadcastCalls are the script calls that write to all channels of some partitions. A
// call is for channels of one class.
func (e *Engine) broadcastCalls(parts []*partition, b *broadcast) (calls []scriptCall, err error) {
	lists, err := e.names(parts)
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		var classes []*channel.Class
		byClass := make(map[*channel.Class][]string)
		for _, name := range lists[i] {
			class := e.hub.ClassOf([]byte(name))
			if byClass[class] == nil {
				classes = append(classes, class)
			}
			byClass[class] = append(byClass[class], name)
		}
		for _, class := range classes {
			for names := range slices.Chunk(byClass[class], broadcastSlice) {
				args := append([]string{
					b.content, e.publish, e.newEpoch()[:markLen], itoa(class.BufferSize), millis(class.BufferTTL),
					itoa(class.BufferBytes), b.id, itoa(class.IDs()),
				}, names...)
				calls = append(calls, scriptCall{broadcastScript, p.keys(), args})
			}
		}
	}
	return calls, nil
}

func (e *Engine) failed(what string, err error) error {
	e.log.Warn("redis: "+what+" has failed", "error", err)
	return channel.ErrUnavailable
}

// pause waits while a loop of this node is busy.
func (e *Engine) pause() error {
	for {
		select {
		case <-e.quiet:
			return channel.ErrStopped
		default:
		}
		if !e.hub.Busy() {
			return nil
		}
		select {
		case <-e.quiet:
		case <-time.After(broadcastPause):
		}
	}
}

// names lists the channels of each of the partitions, in one round trip.
func (e *Engine) names(parts []*partition) (lists [][]string, err error) {
	ctx, cancel := e.deadline()
	defer cancel()
	commands := make([]rueidis.Completed, len(parts))
	for i, p := range parts {
		commands[i] = e.client.B().Zrange().Key(p.due).Min("0").Max("-1").Build()
	}
	for _, r := range send(ctx, e.client, commands...) {
		names, err := r.AsStrSlice()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, err
		}
		lists = append(lists, names)
	}
	return lists, nil
}
