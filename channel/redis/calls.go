package redis

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

// errShape says that a script's answer has a form that no script of this version gives.
var errShape = errors.New("redis: an answer has the wrong shape; do all nodes run one version?")

// closedFor is how long Redis remembers that a channel was closed, for a node that was
// cut off.
const closedFor = 10 * time.Minute

// ints reads a list of numbers.
func ints(values []rueidis.RedisMessage, want int) ([]int64, error) {
	if len(values) < want {
		return nil, errShape
	}
	out := make([]int64, len(values))
	for i := range values {
		n, err := values[i].AsInt64()
		if err != nil {
			return nil, errShape
		}
		out[i] = n
	}
	return out, nil
}

// epochAndSeq reads the epoch at position i and the seq after it.
func epochAndSeq(values []rueidis.RedisMessage, i int) (epoch string, seq int64, err error) {
	if len(values) < i+2 {
		return "", 0, errShape
	}
	if epoch, err = values[i].ToString(); err != nil || len(epoch) != epochLen {
		return "", 0, errShape
	}
	if seq, err = values[i+1].AsInt64(); err != nil {
		return "", 0, errShape
	}
	return epoch, seq, nil
}

// none reports the answer {0}: there is no such channel.
func none(values []rueidis.RedisMessage) bool {
	if len(values) != 1 {
		return false
	}
	n, err := values[0].AsInt64()
	return err == nil && n == 0
}

// countMade counts a channel if the call has created one.
func (e *Engine) countMade(made rueidis.RedisMessage) {
	if n, err := made.AsInt64(); err == nil {
		e.room.made(n)
	}
}

// Sign is as in channel.Engine.
func (e *Engine) Sign(name []byte, wait time.Duration, done channel.Done) {
	p := e.partition(name)
	e.submit(&op{
		part: p, done: done, at: time.Now(), mayArg: 4,
		scriptCall: scriptCall{signScript, p.keys(), []string{
			string(name), millis(wait), channel.NewToken(), e.newEpoch(), "0", e.publish, e.keepFor,
			millis(e.hub.ClassOf(name).BufferTTL),
		}},
		reading: readFunc(func(values []rueidis.RedisMessage) (channel.Result, error) {
			if none(values) {
				return channel.Result{Err: channel.ErrTooManyChannels}, nil
			}
			if len(values) < 4 {
				return channel.Result{}, errShape
			}
			seq, err := values[1].AsInt64()
			if err != nil {
				return channel.Result{}, errShape
			}
			token, err := values[2].ToString()
			if err != nil {
				return channel.Result{}, errShape
			}
			e.countMade(values[3])
			return channel.Result{Seq: seq, Token: token}, nil
		}),
	})
}

// Clear is as in channel.Engine.
func (e *Engine) Clear(name []byte, done channel.Done) {
	e.change(name, clearScript, kindCleared, done, e.publish)
}

// Close is as in channel.Engine.
func (e *Engine) Close(name []byte, done channel.Done) {
	e.change(name, closeScript, kindClosed, done, e.publish, millis(closedFor))
}

// change carries out Clear or Close.
func (e *Engine) change(name []byte, s *script, kind byte, done channel.Done, args ...string) {
	p, cname := e.partition(name), string(name)
	e.submit(&op{
		part: p, done: done, at: time.Now(),
		scriptCall: scriptCall{s, p.keys(), append([]string{cname}, args...)},
		reading: readFunc(func(values []rueidis.RedisMessage) (channel.Result, error) {
			if none(values) {
				return channel.Result{Err: channel.ErrNotFound}, nil
			}
			epoch, next, err := epochAndSeq(values, 1)
			if err != nil {
				return channel.Result{}, err
			}
			if kind == kindClosed {
				e.room.made(-1)
			}
			e.applyOwn(p, cname, event{kind: kind, epoch: epoch, seq: next})
			return channel.Result{Seq: next}, nil
		}),
	})
}

// Info is as in channel.Engine. It adds this node's present subscribers to what Redis
// knows of the other nodes.
func (e *Engine) Info(name []byte, done channel.Done) {
	if len(name) == 0 {
		if e.begin(done) {
			go e.totals(done)
		}
		return
	}
	p, cname := e.partition(name), string(name)
	e.submit(&op{
		part: p, done: done, at: time.Now(),
		scriptCall: scriptCall{infoScript, p.keys(), []string{cname, e.node}},
		reading: readFunc(func(values []rueidis.RedisMessage) (channel.Result, error) {
			n, err := ints(values, 2)
			if err != nil {
				return channel.Result{}, err
			}
			own := e.hub.ChannelSubscribers([]byte(cname))
			return channel.Result{Subscribers: int(n[1]) + own, Alive: n[0] == 1 || own > 0}, nil
		}),
	})
}

// totals counts all channels, and adds this node's present subscribers to those of the
// other nodes.
func (e *Engine) totals(done channel.Done) {
	ctx, cancel := e.deadline()
	defer cancel()
	channels, subscribers, err := e.countAll(ctx)
	if err != nil {
		e.finish(done, channel.Result{Err: channel.ErrUnavailable})
		return
	}
	e.finish(done, channel.Result{Channels: channels, Subscribers: subscribers + e.hub.Subscribers()})
}

func (e *Engine) countAll(ctx context.Context) (channels, others int, err error) {
	b := e.client.B()
	var commands []rueidis.Completed
	for _, p := range e.parts {
		commands = append(commands, b.Zcard().Key(p.due).Build(), b.Hgetall().Key(p.base+"ns").Build())
	}
	results := send(ctx, e.client, commands...)
	for i := 0; i < len(results); i += 2 {
		n, err := results[i].AsInt64()
		if err != nil {
			return 0, 0, err
		}
		nodes, err := results[i+1].AsIntMap()
		if err != nil {
			return 0, 0, err
		}
		channels += int(n)
		for node, k := range nodes {
			if node != e.node {
				others += int(k)
			}
		}
	}
	return channels, others, nil
}
