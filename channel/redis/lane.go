package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

const (
	// laneQueue bounds the calls of a lane that wait for Redis, laneBytes the content of
	// all lanes. Above either, a call is refused.
	laneQueue = 8192
	laneBytes = 64 << 20
	// laneBatch (calls) and batchBytes bound one round trip.
	laneBatch  = 256
	batchBytes = 4 << 20
	// probeInterval is how often a Redis that does not answer is tried.
	probeInterval = 100 * time.Millisecond
)

// op is one call to Redis.
type op struct {
	scriptCall
	part   *partition
	size   int64  // of its content, in bytes
	mayArg int    // index of the argument that says whether it may create a channel; 0: it never creates one
	kept   bool   // a place for a new channel is reserved
	mark   string // of the message that it stores; "": none
	done   channel.Done
	at     time.Time
	reading
}

// reading turns the answer to a call into the result.
type reading interface {
	read([]rueidis.RedisMessage) (channel.Result, error)
}

// readFunc is a reading.
type readFunc func([]rueidis.RedisMessage) (channel.Result, error)

func (f readFunc) read(values []rueidis.RedisMessage) (channel.Result, error) { return f(values) }

// lane sends the calls of some partitions in batches, one after the other. Calls that
// come while Redis works form the next batch, in their order.
type lane struct {
	e     *Engine
	group *group
	queue chan *op

	mu     sync.RWMutex // once closed is set, nothing is queued
	closed bool
	down   atomic.Pointer[string] // why calls are refused at once; nil: they are not
}

func (g *group) newLane() *lane {
	return &lane{e: g.e, group: g, queue: make(chan *op, laneQueue)}
}

// submit queues a call, or answers it with an error.
func (e *Engine) submit(o *op) {
	if !e.begin(o.done) {
		return
	}
	if err := e.enqueue(o); err != nil {
		e.stats.refused.Add(1)
		e.finishOp(o, channel.Result{Err: err})
	}
}

func (e *Engine) enqueue(o *op) error {
	if e.queuedBytes.Add(o.size) > laneBytes {
		return channel.ErrOverloaded
	}
	for {
		l := o.part.group.Load().laneOf(o.part)
		switch {
		case l.down.Load() != nil:
			return channel.ErrUnavailable
		case l.put(o):
			return nil
		case !l.isClosed():
			return channel.ErrOverloaded
		}
		// The partition has just moved to another master.
	}
}

func (e *Engine) finishOp(o *op, r channel.Result) {
	e.queuedBytes.Add(-o.size)
	if o.kept {
		e.room.giveBack()
	}
	e.finish(o.done, r)
}

func (l *lane) put(o *op) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return false
	}
	select {
	case l.queue <- o:
		return true
	default:
		return false
	}
}

func (l *lane) isClosed() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.closed
}

// close ends the lane after the queued calls are answered.
func (l *lane) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
}

func (l *lane) run() {
	batch := make([]*op, 0, laneBatch)
	for first := range l.queue {
		batch = append(batch[:0], first)
		bytes := first.size
	collect:
		for len(batch) < laneBatch && bytes < batchBytes {
			select {
			case o, ok := <-l.queue:
				if !ok {
					break collect
				}
				batch = append(batch, o)
				bytes += o.size
			default:
				break collect
			}
		}
		if l.down.Load() != nil {
			l.fail(batch)
		} else {
			l.send(batch)
		}
		clear(batch)
	}
}

func (l *lane) fail(batch []*op) {
	for _, o := range batch {
		l.e.stats.refused.Add(1)
		l.e.finishOp(o, channel.Result{Err: channel.ErrUnavailable})
	}
}

// send makes one round trip. Its deadline is that of the oldest call, so that every call
// is answered within the timeout.
func (l *lane) send(batch []*op) {
	e := l.e
	ctx, cancel := context.WithDeadline(context.Background(), batch[0].at.Add(e.opts.Timeout))
	defer cancel()
	near := e.near()
	if !near {
		l.keepPlaces(batch)
	}
	results := l.exec(ctx, batch)
	if near {
		l.makeNear(ctx, batch, results)
	}
	for i, o := range batch {
		r, err := o.answer(results[i])
		if err != nil {
			l.refused(err)
			r = channel.Result{Err: channel.ErrUnavailable}
		}
		e.finishOp(o, r)
	}
}

// refused draws the consequences of an error.
func (l *lane) refused(err error) {
	e := l.e
	e.stats.refused.Add(1)
	c, word := classOf(err)
	e.stats.count(word)
	switch {
	case c.stops():
		l.goDown(err, c, word)
	case c == classMemory:
		l.group.setFull(true, err)
	case c == classMoving: // the other slots are served
	default:
		e.logSeldom("redis refuses a call", err)
	}
}

// keepPlaces reserves places for the calls that may create channels, as far as there is
// room.
func (l *lane) keepPlaces(batch []*op) {
	for _, o := range batch {
		if o.mayArg > 0 {
			o.kept = l.e.keep()
			o.args[o.mayArg] = flag(o.kept)
		}
	}
}

// makeNear repeats, near the limit of channels, the calls that have found no channel;
// only then are the channels counted. It repeats all calls for such a channel, in their
// order.
func (l *lane) makeNear(ctx context.Context, batch []*op, results []rueidis.RedisResult) {
	var again []*op
	var places []int
	for i, o := range batch {
		if values, err := results[i].ToArray(); o.mayArg > 0 && err == nil && none(values) {
			again, places = append(again, o), append(places, i)
		}
	}
	if len(again) == 0 || l.e.census(ctx) != nil {
		return
	}
	l.keepPlaces(again)
	for i, r := range l.exec(ctx, again) {
		results[places[i]] = r
	}
}

func (l *lane) exec(ctx context.Context, batch []*op) []rueidis.RedisResult {
	if len(batch) > 1 {
		keepOrder(batch)
	}
	calls := make([]scriptCall, len(batch))
	for i, o := range batch {
		calls[i] = o.scriptCall
	}
	began := time.Now()
	results := runScripts(ctx, l.e.client, calls)
	l.e.stats.calls.add(time.Since(began))
	return results
}

// keepOrder makes a publish that follows another one to its channel in the batch depend on
// it. Redis may have forgotten the script at the first and know it again at the second,
// because another node has sent it meanwhile; the second must not overtake the first. A
// publish whose id is known stores nothing, so what follows it is sent again too: everything
// is judged in its order, also which ids are known.
func keepOrder(batch []*op) {
	last := make(map[string]string, len(batch)) // channel → mark
	for _, o := range batch {
		if o.script != publishScript {
			continue
		}
		name := o.args[publishName]
		if o.args[publishAfter] = last[name]; o.mark != "" {
			last[name] = o.mark
		}
	}
}

// answer reads a result. Errors come from Redis or from the connection.
func (o *op) answer(r rueidis.RedisResult) (channel.Result, error) {
	values, err := r.ToArray()
	if err != nil {
		return channel.Result{}, err
	}
	return o.read(values)
}

// goDown refuses calls until Redis serves again.
func (l *lane) goDown(err error, c class, word string) {
	if c == classRole {
		l.e.dialer.redial()
	}
	if !l.down.CompareAndSwap(nil, &word) {
		return
	}
	l.e.log.Warn("redis does not serve; calls are refused until it does", "why", word, "error", err)
	l.e.workers.Go(l.probe)
}

func (l *lane) probe() {
	tick := l.e.ticker(probeInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.e.stop:
			return
		case <-tick.C:
		}
		err := l.try()
		c, word := classOf(err)
		if l.isClosed() || err == nil {
			l.down.Store(nil)
			l.e.log.Info("redis serves again")
			return
		}
		if l.down.Store(&word); c == classRole {
			l.e.dialer.redial()
		}
	}
}

// try has Redis carry out, in one partition of this lane, what calls need.
func (l *lane) try() error {
	for _, p := range l.e.parts {
		if p.group.Load().laneOf(p) == l {
			ctx, cancel := l.e.deadline()
			defer cancel()
			return l.e.serves(ctx, p)
		}
	}
	return nil
}

// serves tries a write that changes nothing, since no channel has an empty name, and an
// empty message, which the nodes ignore.
func (e *Engine) serves(ctx context.Context, p *partition) error {
	b := e.client.B()
	empty := b.Publish().Channel(p.presence).Message("").Build()
	if e.cluster {
		empty = b.Spublish().Channel(p.presence).Message("").Build()
	}
	return firstError(send(ctx, e.client, b.Zrem().Key(p.due).Member("").Build(), empty))
}
