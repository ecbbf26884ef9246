package redis

import (
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

// publishing is one call of publish.lua, in one allocation.
type publishing struct {
	op
	e       *Engine
	name    string
	content string
	end     bool
	onlyIf  bool
	creates bool // the channel, if needed
}

// Publish is as in channel.Engine. Before the answer, this node's own copy gets the
// message, so that the next subscriber on this node finds it.
func (e *Engine) Publish(pub *channel.Publication, done channel.Done) {
	if e.congested.Load() > 0 {
		done.Done(channel.Result{Err: channel.ErrOverloaded})
		return
	}
	class, epoch := e.hub.ClassOf(pub.Name), e.newEpoch()
	p := &publishing{
		e: e, name: string(pub.Name), content: pub.Content, end: pub.End, onlyIf: pub.OnlyIf,
		creates: !pub.NoContent && (!pub.OnlyIf || pub.IfSeq == 1 && pub.IfEpoch == 0),
	}
	part := e.partition(pub.Name)
	p.op = op{part: part, done: done, at: time.Now(), size: int64(len(pub.Content)), reading: p}
	if p.creates {
		p.mayArg = 5
	}
	if !pub.NoContent {
		p.mark = epoch[:markLen]
	}
	p.script = publishScript
	p.keys = []string{part.state(p.name), part.base + "h:" + p.name, part.due, part.presence}
	p.args = []string{
		p.name, p.content, itoa(class.BufferSize), millis(class.Timeout), epoch, "0", e.publish, e.keepFor, "",
	}
	conditions := pub.ID != "" || pub.OnlyIf || pub.End
	if conditions || class.BufferTTL > 0 || class.BufferBytes > 0 {
		p.args = append(p.args, millis(class.BufferTTL), itoa(class.BufferBytes))
	}
	if conditions {
		p.keys = append(p.keys, part.base+"i:"+p.name)
		p.args = append(p.args, conditionsOf(pub, class)...)
	}
	e.submit(&p.op)
}

// conditionsOf are the arguments of publish.lua for what the call demands.
func conditionsOf(pub *channel.Publication, class *channel.Class) []string {
	seq, epoch, end := "", "", ""
	if pub.OnlyIf {
		seq = itoa(pub.IfSeq)
		if pub.IfEpoch != 0 {
			epoch = epochText(pub.IfEpoch)
		}
	}
	switch {
	case pub.End && pub.NoContent:
		end = string(kindEnded)
	case pub.End:
		end = string(kindFinal)
	}
	return []string{pub.ID, itoa(class.IDs()), seq, epoch, end}
}

// The answers of publish.lua.
const (
	publishAbsent    = 0
	publishStored    = 1
	publishEarly     = 2 // the message that must be before it is not there
	publishRefused   = 3 // the channel has ended
	publishEnded     = 4
	publishDuplicate = 5
	publishConflict  = 6
)

func (p *publishing) read(values []rueidis.RedisMessage) (r channel.Result, err error) {
	if none(values) {
		return channel.Result{Seq: p.absentSeq(), Err: p.absent()}, nil
	}
	if len(values) < 3 {
		return r, errShape
	}
	what, err := values[0].AsInt64()
	if err != nil {
		return r, errShape
	}
	epoch, seq, err := epochAndSeq(values, 1)
	if err != nil {
		return r, err
	}
	r.Seq, r.Epoch = seq, wireEpoch(epoch)
	switch what {
	case publishStored:
		err = p.stored(values, epoch, &r)
	case publishRefused:
		r.Err = channel.ErrEnded
	case publishEnded:
		p.e.applyOwn(p.part, p.name, event{kind: kindEnded, epoch: epoch, seq: seq})
	case publishDuplicate:
		r.Duplicate = true
	case publishConflict:
		r.Err = channel.ErrConflict
	default:
		return r, errShape
	}
	return r, err
}

// stored handles the answer that the message is stored.
func (p *publishing) stored(values []rueidis.RedisMessage, epoch string, r *channel.Result) error {
	if len(values) < 5 {
		return errShape
	}
	before, err := values[4].ToString()
	if err != nil {
		return errShape
	}
	p.e.countMade(values[3])
	ev := event{kind: kindData, epoch: epoch, seq: r.Seq, before: before, mark: p.mark, content: p.content}
	if p.end {
		ev.kind = kindFinal
		r.Seq++
	}
	p.e.applyOwn(p.part, p.name, ev)
	return nil
}

// absent says why there is no channel: none was to be created, or there are too many.
func (p *publishing) absent() error {
	switch {
	case p.creates:
		return channel.ErrTooManyChannels
	case p.onlyIf:
		return channel.ErrConflict
	}
	return channel.ErrNotFound
}

func (p *publishing) absentSeq() int64 {
	if p.absent() == channel.ErrConflict {
		return 1
	}
	return 0
}

// wireEpoch is what subscribers get of an epoch: its first 8 digits. 0 would stand for
// none: version 0.1 has made one such epoch in 2^32.
func wireEpoch(epoch string) uint32 {
	n, _ := strconv.ParseUint(epoch[:8], 16, 32)
	return max(1, uint32(n))
}

// epochText is the other way round.
func epochText(epoch uint32) string {
	text := strconv.FormatUint(uint64(epoch)|1<<32, 16)
	return text[1:]
}
