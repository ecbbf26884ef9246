package continuity

import (
	"slices"
	"strings"
	"time"

	"icomet/server/servertest"
	"icomet/server/wire"
)

// idWindow is front.id_window of the servers.
const idWindow = 64

// ttlSlack is how much before its time a message may leave the buffer: the server's time
// is as old as its last tick.
const ttlSlack = 500 * time.Millisecond

// life is one life of a channel, as the protocol describes it.
type life struct {
	name, epoch string
	next        int64
	msgs        []stored // all that were published; message n is at n-1
	oldest      int64    // what is before it is certainly not stored
	ended       bool
	ids         map[string]int64
}

type stored struct {
	typ, content string
	at           time.Time     // before it was published
	ttl          time.Duration // the shortest that held since; 0: none
}

// keeping is what a class keeps.
type keeping struct {
	size, bytes int
	ttl         time.Duration
}

func newLife(name string) *life {
	return &life{name: name, next: 1, oldest: 1, ids: map[string]int64{}}
}

// find is the message with the id, if it is still known.
func (l *life) find(id string) (seq int64, known bool) {
	seq, known = l.ids[id]
	return seq, known && id != "" && seq >= l.next-idWindow
}

// store is what a publish does. It returns what subscribers get.
func (l *life) store(typ, content, id string, k keeping, at time.Time) []servertest.Event {
	seq := l.next
	l.next++
	l.msgs = append(l.msgs, stored{typ, content, at, k.ttl})
	if id != "" {
		l.ids[id] = seq
	}
	l.trim(k)
	return l.message(seq)
}

// trim drops what is not kept. A publish does it, and a server that has been away.
func (l *life) trim(k keeping) {
	l.oldest = max(l.oldest, l.next-int64(k.size))
	for k.bytes > 0 && l.oldest < l.next-1 && l.size(l.oldest) > k.bytes {
		l.oldest++
	}
}

// size is how many bytes the messages from seq on have.
func (l *life) size(seq int64) (n int) {
	for _, m := range l.msgs[seq-1:] {
		n += len(wire.AppendJSON(nil, []byte(m.content)))
	}
	return n
}

// shorten notes that messages are kept for ttl only; 0: for ever.
func (l *life) shorten(ttl time.Duration) {
	for i := range l.msgs {
		if m := &l.msgs[i]; ttl > 0 && (m.ttl == 0 || ttl < m.ttl) {
			m.ttl = ttl
		}
	}
}

// certain is the first message that is stored for certain at that time; those from oldest
// up to it may be too old, or not.
func (l *life) certain(now time.Time) int64 {
	seq := l.oldest
	for s := l.oldest; s < l.next; s++ {
		if m := &l.msgs[s-1]; m.ttl > 0 && now.Sub(m.at) > m.ttl-ttlSlack {
			seq = s + 1
		}
	}
	return seq
}

func (l *life) event(typ string, seq int64, content string) servertest.Event {
	return servertest.Event{Message: servertest.Message{Type: typ, Cname: l.name, Seq: seq, Content: content}}
}

func (l *life) withID(e servertest.Event, seq int64) servertest.Event {
	e.ID = l.epoch + "-" + itoa(seq)
	return e
}

// message is what a subscriber gets for message seq.
func (l *life) message(seq int64) []servertest.Event {
	m := &l.msgs[seq-1]
	out := []servertest.Event{l.withID(l.event(m.typ, seq, m.content), seq)}
	if m.typ == "broadcast" {
		out = append(out, l.nextSeq(seq+1))
	}
	return out
}

func (l *life) nextSeq(seq int64) servertest.Event {
	return l.withID(l.event("next_seq", seq, ""), seq-1)
}

func (l *life) end() servertest.Event { return l.event("end", l.next, "") }

// ask is what a subscriber asks for.
type ask struct {
	kind     string
	hasEpoch bool
	epoch    string // "": none yet
	seq      int64
	last     int64 // -1: absent
	idEpoch  string
	idSeq    int64 // of the event id; -1: it has none
}

func (a *ask) raw() bool   { return strings.HasPrefix(a.kind, "raw") }
func (a *ask) polls() bool { return a.kind == "poll" || a.kind == "sub" }
func (a *ask) sse() bool   { return a.kind == "sse" || a.kind == "rawsse" }

// wish is an ask when it is clear which of its parameters counts.
type wish struct {
	since    int64 // 0 or less: from now
	last     int64
	epoch    string
	position bool // it can be told whether it misses anything
}

func (a *ask) wish() wish {
	w := wish{since: a.seq, last: max(a.last, 0), epoch: a.epoch, position: a.hasEpoch}
	if a.last >= 0 {
		w.since = 0
	}
	if a.sse() && a.idSeq >= 0 {
		w = wish{since: a.idSeq + 1, epoch: a.idEpoch, position: a.hasEpoch || a.idEpoch != ""}
	}
	return w
}

// verdict is what the subscriber is to be told, and where it starts.
type verdict struct {
	from      int64
	now       bool // the next message is the first, and it does not know its number
	recovered bool
	lost      int64
	reason    string
}

// judge compares what the subscriber had with what is there. oldest is the first stored
// message.
func (l *life) judge(w wish, oldest int64) verdict {
	switch {
	case w.last > 0:
		return verdict{from: max(oldest, l.next-w.last), recovered: true}
	case w.since <= 0, !w.position && w.since > l.next:
		return verdict{from: l.next, now: true, recovered: true}
	case !w.position, w.epoch == "" && w.since == 1:
		return verdict{from: w.since, recovered: true}
	case w.epoch == "":
		return verdict{from: min(w.since, l.next), lost: -1, reason: "epoch"}
	case w.epoch != l.epoch:
		return verdict{from: 1, lost: -1, reason: "epoch"}
	case w.since > l.next:
		return verdict{from: l.next, lost: -1, reason: "ahead"}
	case w.since < oldest:
		return verdict{from: oldest, lost: oldest - w.since, reason: "trimmed"}
	}
	return verdict{from: w.since, recovered: true}
}

// nothing reports that the response is 204: the subscriber has had all of an ended channel,
// or reads contents alone and wants none of those that are there.
func (l *life) nothing(a *ask) bool {
	w := a.wish()
	if !l.ended || w.last > 0 || !a.sse() && !a.raw() {
		return false
	}
	return a.raw() && w.since <= 0 || w.since >= l.next && (w.epoch == "" || w.epoch == l.epoch)
}

// first is what a subscriber gets at once, if the first stored message is oldest.
func (l *life) first(a *ask, oldest int64) (out []servertest.Event) {
	w := a.wish()
	v := l.judge(w, oldest)
	start := max(v.from, oldest)
	told := a.hasEpoch && !a.raw() && (!a.polls() || w.epoch == "" || !v.recovered)
	switch {
	case a.raw():
	case told, w.position && !a.hasEpoch && !v.recovered:
		e := l.withID(l.event("position", start, ""), start-1)
		e.Epoch, e.Recovered, e.Lost, e.Reason = l.epoch, v.recovered, v.lost, v.reason
		if !told {
			e.Name = "lost"
		}
		out = append(out, e)
	case v.now:
		out = append(out, l.nextSeq(l.next))
	}
	for seq := start; seq < l.next; seq++ {
		out = append(out, l.message(seq)...)
	}
	if l.ended {
		out = append(out, l.end())
	}
	return out
}

// seenAs is how the events look on a transport.
func seenAs(kind string, es []servertest.Event) (out []servertest.Event) {
	for _, e := range es {
		message := e.Type == "data" || e.Type == "broadcast"
		switch {
		case kind == "rawsse" && message:
			e = servertest.Event{Message: servertest.Message{Content: e.Content}, ID: e.ID}
		case kind == "rawstream" && e.Content == "":
			continue // it looks like a heartbeat
		case kind == "rawstream" && message:
			e = servertest.Event{Message: servertest.Message{Content: e.Content}}
		case strings.HasPrefix(kind, "raw"):
			continue
		case kind != "sse":
			e.ID = ""
		}
		out = append(out, e)
	}
	return slices.Clip(out)
}
