package server

import (
	"errors"
	"unicode/utf8"

	"icomet/channel"
	"icomet/httpparse"
)

// maxName bounds a channel's name, in bytes after decoding.
const maxName = 255

// cnameOf returns the channel's name, or answers 400.
func (l *loop) cnameOf(c *conn, r *request) (name []byte, ok bool) {
	name = r.params.get(paramCname)
	switch {
	case len(name) == 0:
		l.refuse(c, r, 400, "cname is missing: the name of the channel is needed")
	case len(name) > maxName:
		l.refuse(c, r, 400, "cname is too long: a channel's name has at most 255 bytes")
	case !utf8.Valid(name):
		l.refuse(c, r, 400, "cname is not valid UTF-8")
	default:
		return name, true
	}
	return nil, false
}

// intParam returns a number, 0 when it is absent, or answers 400.
func (l *loop) intParam(c *conn, r *request, n param) (v int64, ok bool) {
	text := r.params.get(n)
	if len(text) == 0 {
		return 0, true
	}
	if v, ok = httpparse.ParseInt(text); !ok {
		l.refuse(c, r, 400, paramNames[n]+" is not an integer")
	}
	return v, ok
}

// callback returns the checked cb parameter, nil when there is none, or answers 400.
func (l *loop) callback(c *conn, r *request) (cb []byte, ok bool) {
	cb = r.params.get(paramCallback)
	if len(cb) == 0 {
		return nil, true
	}
	if !validCallback(cb) {
		l.refuse(c, r, 400, "cb is not a callback name: letters, digits, _, $ and dots, at most 128, not beginning with a digit or a dot")
		return nil, false
	}
	return cb, true
}

// validCallback matches [A-Za-z_$][A-Za-z0-9_$.]{0,127}.
func validCallback(cb []byte) bool {
	for i, b := range cb {
		letter := b|0x20 >= 'a' && b|0x20 <= 'z' || b == '_' || b == '$'
		if !letter && (i == 0 || b != '.' && (b < '0' || b > '9')) {
			return false
		}
	}
	return len(cb) <= 128
}

func (l *loop) handlePoll(c *conn, r *request) {
	l.poll(c, r, defaultCallback)
}

func (l *loop) handleSub(c *conn, r *request) {
	l.poll(c, r, nil)
}

// poll subscribes until there is something to answer. The default callback counts
// when the client says nothing of it; an empty cb asks for bare JSON.
func (l *loop) poll(c *conn, r *request, callback []byte) {
	if r.params.has[paramCallback] {
		callback = nil
	}
	cb, ok := l.callback(c, r)
	if !ok {
		return
	}
	if cb != nil {
		callback = cb
	}
	style := pollStyle{callback: callback, conn: r.conn}
	style.origin, style.vary = l.srv.settings.Load().origin(r.Get("origin"))
	joined, cname, err := l.join(c, r, transportPoll)
	if err != nil {
		if e, ok := inBand(cname, err); ok {
			l.stats.refusedInBand(err)
			l.body = style.appendEvent(l.body[:0], &e)
			l.out.B = style.appendAnswer(l.out.B, l.body)
		}
		return
	}
	switch {
	case joined.Subscribed:
		c.remember(&style)
		return
	case joined.TellNext:
		e := nextSeqEvent(cname, joined.Next)
		l.body = style.appendEvent(l.body[:0], &e)
	default:
		l.body = style.appendMessages(l.body[:0], cname, joined.Replay, true)
		l.replayed(joined.Replay)
	}
	l.out.B = style.appendAnswer(l.out.B, l.body)
}

func (l *loop) handleStream(c *conn, r *request) { l.open(c, r, transportStream) }
func (l *loop) handleSSE(c *conn, r *request)    { l.open(c, r, transportSSE) }
func (l *loop) handleIframe(c *conn, r *request) { l.open(c, r, transportIframe) }

// open subscribes with an endless response. Head, preamble and what is there
// already leave in one write.
func (l *loop) open(c *conn, r *request, t transport) {
	joined, cname, err := l.join(c, r, t)
	f := openForm(t, r.Minor == 0)
	if err != nil {
		if e, ok := inBand(cname, err); ok {
			l.stats.refusedInBand(err)
			l.out.B = l.appendOpenHead(l.out.B, c, r, t)
			l.out.B = f.appendOpen(l.out.B, &e, &l.scratch)
			if f.chunked() {
				l.out.B = append(l.out.B, lastChunk...)
			} else {
				c.set(flagClose)
			}
		}
		return
	}
	l.out.B = l.appendOpenHead(l.out.B, c, r, t)
	if joined.TellNext {
		e := nextSeqEvent(cname, joined.Next)
		l.out.B = f.appendOpen(l.out.B, &e, &l.scratch)
	}
	for i := range joined.Replay {
		l.out.B = f.appendMessage(l.out.B, cname, &joined.Replay[i], &l.scratch)
	}
	l.replayed(joined.Replay)
}

// replayed counts a replay and keeps its space, but not its messages.
func (l *loop) replayed(ms []channel.Message) {
	l.stats.replayed.Add(uint64(len(ms)))
	clear(ms)
	if l.replay = ms[:0]; cap(ms) > maxReplay {
		l.replay = nil
	}
}

// maxReplay is the largest replay, in messages, whose space is kept for the next.
const maxReplay = 1024

// appendOpenHead appends the head of an open response, and an iframe's preamble.
func (l *loop) appendOpenHead(dst []byte, c *conn, r *request, t transport) []byte {
	f := openForm(t, r.Minor == 0)
	h := head{status: 200, ctype: transportContentType[t], length: lengthChunked, conn: r.conn}
	if !f.chunked() {
		h.length, h.conn = lengthClose, connClose
	}
	l.setOrigin(c, r, &h)
	dst = h.append(dst)
	if t == transportIframe && r.Method != httpparse.HEAD {
		if f.chunked() {
			return appendChunk(dst, []byte(iframePreamble))
		}
		dst = append(dst, iframePreamble...)
	}
	return dst
}

// errAnswered says that the call has been answered already.
var errAnswered = errors.New("answered")

// join reads the parameters and joins the channel; when that subscribes, c is in
// its list. cname is encoded. Errors: errAnswered, or one for inBand.
func (l *loop) join(c *conn, r *request, t transport) (joined channel.Joined, cname []byte, err error) {
	name, ok := l.cnameOf(c, r)
	if !ok {
		return joined, nil, errAnswered
	}
	seq, ok := l.intParam(c, r, paramSeq)
	if !ok {
		return joined, nil, errAnswered
	}
	noop, ok := l.intParam(c, r, paramNoop)
	if !ok {
		return joined, nil, errAnswered
	}
	if t == transportSSE {
		if last, ok := httpparse.ParseInt(r.Get("last-event-id")); ok {
			seq = max(last, last+1) // the largest has none behind it
		}
	}
	l.cname = appendJSONBody(l.cname[:0], name)
	set := l.srv.settings.Load()
	if err := l.admitSubscriber(c, r, set, name); err != nil {
		return joined, l.cname, err
	}
	j := channel.Join{
		Name: name, Since: seq, Sink: l.sink,
		Auth: set.auth, Token: r.params.get(paramToken),
		Known:   !set.config.Front.CreateOnSubscribe,
		OneShot: t == transportPoll,
	}
	if j.Fetched, err = c.fetched(); err == nil {
		joined, err = l.srv.hub.Join(&j, l.replay[:0])
	}
	if !joined.Subscribed {
		l.srv.access.leaveOpen(c)
	}
	switch err {
	case nil:
	case channel.ErrFetch:
		l.parkJoin(c, &j)
		return joined, l.cname, errAnswered
	case channel.ErrUnavailable, channel.ErrOverloaded, channel.ErrStopped:
		l.refuseUnavailable(c, r, t, err)
		return joined, l.cname, errAnswered
	default:
		return joined, l.cname, err
	}
	if joined.Subscribed {
		c.set(flagServed)
		c.ch, c.next, c.noop, c.transport = joined.Channel, joined.Next, noop, t
		c.since = l.now
		l.subscribe(c)
	}
	return joined, l.cname, nil
}

// admitSubscriber judges what does not depend on the channel's state. A nil error
// may have counted c for its open response.
func (l *loop) admitSubscriber(c *conn, r *request, set *settings, name []byte) error {
	switch {
	case c.refusal == reasonPerIP:
		return errPerIP
	case set.jwt != nil && !l.verifyToken(set.jwt, r, name):
		return channel.ErrToken
	case l.srv.memory.over.Load() && !c.has(flagServed):
		// Who has been served on this connection comes back from a poll, and stays.
		return channel.ErrMemory
	}
	limit := set.config.Limits.ConnectionsPerIP
	if limit > 0 && c.has(flagTrusted) && !c.has(flagPerIP) {
		if client, _ := c.client(set, r); !l.srv.access.enterOpen(c, client, limit) {
			return errPerIP
		}
	}
	return nil
}

// errPerIP refuses a subscriber over limits.connections_per_ip.
var errPerIP = errors.New("too many connections from this address")

// inBand is the message that tells a subscriber of a refusal: a status other than
// 200 means to clients that the server is down.
func inBand(cname []byte, err error) (e event, ok bool) {
	switch err {
	case channel.ErrToken:
		return event{typ: typeToken, cname: cname, content: "Token error"}, true
	case channel.ErrTooManyChannels:
		return event{typ: typeTooMany, cname: cname, content: "Too many channels"}, true
	case channel.ErrTooManySubscribers, channel.ErrMemory, errPerIP:
		return event{typ: typeTooMany, cname: cname, content: "Too many subscribers"}, true
	}
	return event{}, false
}

// heartbeat tells a subscriber that the connection lives. A poll ends with it.
func (c *conn) heartbeat() {
	l := c.loop
	l.cname = appendJSONBody(l.cname[:0], []byte(c.ch.Name()))
	e := event{typ: typeNoop, cname: l.cname, seq: c.noop}
	c.noop = max(c.noop, c.noop+1) // the largest has none behind it
	l.stats.heartbeats.Add(1)
	if c.transport == transportPoll {
		style := c.pollStyle()
		l.body = style.appendEvent(l.body[:0], &e)
		l.scratch = style.appendAnswer(l.scratch[:0], l.body)
		if c.send(l.scratch) {
			c.endResponse(reasonAnswered)
		}
		return
	}
	l.body = openForm(c.transport, c.has(flagHTTP10)).appendOpen(l.body[:0], &e, &l.scratch)
	c.send(l.body)
}
