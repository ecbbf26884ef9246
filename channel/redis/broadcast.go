package redis

import (
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
	// broadcastPause is how long a broadcast, or the reading of pub/sub, waits when a
	// loop of this node is behind.
	broadcastPause = time.Millisecond
)

type broadcast struct {
	content string
	done    channel.Done
}

// Broadcast writes to every channel that Redis has when its partition's turn comes. It
// queues the message for one worker; ErrOverloaded when 64 broadcasts are waiting.
func (e *Engine) Broadcast(content string, done channel.Done) {
	if !e.begin(done) {
		return
	}
	select {
	case e.broadcasts <- broadcast{content, done}:
	default:
		e.finish(done, channel.Result{Err: channel.ErrOverloaded})
	}
}

func (e *Engine) broadcastLoop() {
	for {
		select {
		case b := <-e.broadcasts:
			e.finish(b.done, channel.Result{Err: e.broadcast(b.content)})
		case <-e.stop:
			return
		}
	}
}

// broadcast stops at the first partition that fails; the partitions before it have the
// message.
func (e *Engine) broadcast(content string) error {
	for _, p := range e.parts {
		names, err := e.names(p)
		if err != nil {
			return e.failed("broadcast", err)
		}
		for len(names) > 0 {
			n := min(len(names), broadcastSlice)
			if err := e.pause(); err != nil {
				return err
			}
			ctx, cancel := e.deadline()
			args := append([]string{content, itoa(e.hub.Limits().BufferSize), e.publish, newEpoch()[:markLen]}, names[:n]...)
			err := e.run(ctx, broadcastScript, []string{p.due}, args...).Error()
			cancel()
			if err != nil {
				return e.failed("broadcast", err)
			}
			names = names[n:]
		}
	}
	return nil
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

// names lists the channels of a partition.
func (e *Engine) names(p *partition) ([]string, error) {
	ctx, cancel := e.deadline()
	defer cancel()
	names, err := e.client.Do(ctx, e.client.B().Zrange().Key(p.due).Min("0").Max("-1").Build()).AsStrSlice()
	if rueidis.IsRedisNil(err) {
		err = nil
	}
	return names, err
}
