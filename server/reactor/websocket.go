package reactor

import (
	"unicode/utf8"

	"icomet/channel"
	"icomet/httpparse/wsframe"
	"icomet/server/deflate"
	"icomet/server/wire"
)

// commandBurst is how many seconds' worth of commands may come at once.
const commandBurst = 5

// frames is what a WebSocket has besides its Conn while it is in the middle of a message, or
// has sent commands a short time ago.
type frames struct {
	reader wsframe.Reader
	buf    []byte // what has come of the message
	spent  int    // commands, in tenths, less what time has given back
	at     uint32 // the tick up to which it has
	begun  uint32 // the tick at which the unfinished message began; 0: there is none
}

// Frames is the transport of a WebSocket with this handshake.
func (c *Conn) Frames(h *wsframe.Handshake) wire.Transport {
	if h.Deflate == wsframe.DeflateNone || !c.loop.reactor.settings.Load().Compression {
		return wire.TransportWebSocket
	}
	return wire.TransportDeflateWebSocket
}

// AcceptFrames appends the answer to a handshake. t is what Frames said, or the form of it for
// contents alone.
func (c *Conn) AcceptFrames(r *Request, h *wsframe.Handshake, t wire.Transport) {
	l := c.loop
	head := wire.Head{Status: 101, Length: wire.LengthNone, Fields: "Upgrade: websocket\r\nConnection: Upgrade\r\n"}
	c.SetCommon(r, &head)
	// What is of this connection alone stands before the empty line that ends the head; as
	// one string it would be garbage of each handshake.
	b := head.Append(l.out.B)
	b = append(b[:len(b)-2], "Sec-WebSocket-Accept: "...)
	b = append(wsframe.AppendAccept(b, h.Key), "\r\n"...)
	if h.Protocol != nil {
		b = append(append(append(b, "Sec-WebSocket-Protocol: "...), h.Protocol...), "\r\n"...)
	}
	if t == wire.TransportDeflateWebSocket {
		b = append(append(append(b, "Sec-WebSocket-Extensions: "...), h.Deflate.Extension()...), "\r\n"...)
	}
	l.out.B = append(b, "\r\n"...)
	c.EndAfter() // it never goes back to HTTP
}

// readFrames takes what a WebSocket client has sent.
func (c *Conn) readFrames(b []byte) {
	set := c.loop.reactor.settings.Load()
	ex := c.exchange()
	if ex.frames == nil {
		ex.frames = &frames{at: c.loop.now}
	}
	f := ex.frames
	rules := wsframe.Rules{Limit: set.Parse.RequestLine, Deflate: c.transport == wire.TransportDeflateWebSocket}
	for len(b) > 0 && c.state == stateSubscribed && !c.has(flagDoomed) {
		event, n, err := f.reader.Next(b, &f.buf, rules)
		b = b[n:]
		if err != nil {
			bad := err.(*wsframe.Error)
			c.failFrames(bad.Code, bad.Text)
			return
		}
		if event.Kind == wsframe.Text || f.reader.Idle() {
			f.begun = 0
		}
		c.takeFrame(f, &event, set)
		c.relieve()
	}
	c.flushBundle()
	switch {
	case f.reader.Idle():
		f.begun = 0
	case f.begun == 0:
		f.begun = c.loop.now
	}
	c.tidyFrames()
}

// readKept takes what a WebSocket client has sent while its channel was fetched.
func (c *Conn) readKept() {
	if c.state != stateSubscribed || !c.transport.Frames() || c.ex == nil || c.ex.in == nil {
		return
	}
	in := c.ex.in
	c.ex.in = nil
	c.readFrames(in.B)
	putBuffer(in)
}

// tidyFrames forgets what a WebSocket client has sent when nothing of it matters any more,
// and ends the connection of one who does not end a message. It is called at each read and
// at each heartbeat.
func (c *Conn) tidyFrames() {
	if c.state != stateSubscribed || c.ex == nil || c.ex.frames == nil {
		return
	}
	f, set := c.ex.frames, c.loop.reactor.settings.Load()
	if f.begun != 0 && c.loop.now-f.begun > set.ticks.request {
		c.failFrames(wsframe.CodePolicy, "the message was not complete in time (limits.request_timeout)")
		return
	}
	f.recover(c.loop.now, set.Commands)
	if f.reader.Idle() && f.spent == 0 {
		c.ex = nil
	}
}

// Raw reports that the subscriber gets contents alone.
func (c *Conn) Raw() bool { return c.transport.Raw() }

func (c *Conn) takeFrame(f *frames, event *wsframe.Event, set *Settings) {
	l := c.loop
	switch event.Kind {
	case wsframe.Text, wsframe.Ping, wsframe.Pong:
		if !f.may(l.now, set.Commands) {
			c.failFrames(wsframe.CodePolicy, "too many commands (limits.commands)")
			return
		}
	}
	switch event.Kind {
	case wsframe.Text:
		l.stats.Requests.Add(1)
		c.takeText(event, set)
	case wsframe.Ping:
		c.flushBundle()
		l.scratch.Frame = wsframe.AppendPong(l.scratch.Frame[:0], event.Payload)
		c.send(l.scratch.Frame)
	case wsframe.Close:
		c.closeFrames(event.Code, "", ReasonPeer)
	}
}

// takeText has a text message carried out.
func (c *Conn) takeText(event *wsframe.Event, set *Settings) {
	text := event.Payload
	if event.Compressed {
		var err error
		text, err = deflate.AppendInflated(nil, text, set.Parse.RequestLine)
		switch {
		case err == deflate.ErrTooLarge:
			c.failFrames(wsframe.CodeTooLarge, err.Error())
			return
		case err != nil:
			c.failFrames(wsframe.CodeText, err.Error())
			return
		case !utf8.Valid(text):
			c.failFrames(wsframe.CodeText, wsframe.ErrText.Text)
			return
		}
	}
	c.loop.reactor.handler.Command(c, text)
}

// may counts a command and reports whether it is within the rate of limit a second.
func (f *frames) may(now uint32, limit int) bool {
	f.recover(now, limit)
	f.spent += 10
	return f.spent <= 10*commandBurst*limit
}

// recover gives back the commands that time has brought.
func (f *frames) recover(now uint32, limit int) {
	f.spent = max(0, f.spent-int(now-f.at)*limit)
	f.at = now
}

// failFrames ends a WebSocket whose client has broken a rule.
func (c *Conn) failFrames(code uint16, why string) {
	c.logError(nil, int(code), why)
	c.closeFrames(code, why, ReasonBadRequest)
}

// closeFrames sends a close frame behind what has been gathered, and ends the connection.
func (c *Conn) closeFrames(code uint16, why string, reason CloseReason) {
	l := c.loop
	c.flushBundle()
	if c.state == stateDraining || c.state == stateClosed || c.has(flagDoomed) {
		return
	}
	l.scratch.Frame = wsframe.AppendClose(l.scratch.Frame[:0], code, why)
	ok := c.send(l.scratch.Frame)
	if c.state == stateSubscribed {
		c.unsubscribe()
	}
	if ok {
		c.beginDrain(reason)
	}
}

// Subscribed reports that the connection has a channel with this name.
func (c *Conn) Subscribed(name []byte) bool {
	if c.bundle == nil {
		return c.ch.Name() == string(name)
	}
	return c.bundle.find(name) != nil
}

// Channels is how many channels the connection has.
func (c *Conn) Channels() int {
	if c.bundle == nil {
		return 1
	}
	return c.bundle.live
}

// SubscribeMore joins a further channel of a WebSocket. Its position is gathered before what
// is stored, or why it is refused.
func (c *Conn) SubscribeMore(j *channel.Join, refusal error) {
	c.makeBundle()
	c.bundle.commanded = true
	wish := *j
	wish.Name, wish.Token = append([]byte(nil), j.Name...), append([]byte(nil), j.Token...)
	m := &member{name: string(j.Name)}  // which it needs while it is fetched
	m.conn, m.next = c, max(0, j.Since) // until it has joined
	c.bundle.add(m)
	c.joinMember(&parkedMember{m: m, wish: wish}, refusal)
}

// forgetOver takes a member that is over out of the bundle: who names no channels in an event
// id needs none that are over.
func (c *Conn) forgetOver(m *member) {
	if c.bundle != nil && m.state == memberOver && c.transport.Frames() {
		c.bundle.remove(m)
	}
}

// Unsubscribe leaves a channel that the connection has, and tells so.
func (c *Conn) Unsubscribe(name []byte) {
	c.makeBundle()
	c.bundle.commanded = true
	m := c.bundle.find(name)
	c.leaveMember(m)
	e := wire.Event{Type: "unsubscribed", Channel: c.loop.label(m), Seq: m.next}
	c.bundle.remove(m)
	c.tell(&e)
}

// Tell sends an event: with a bundle behind what has been gathered.
func (c *Conn) Tell(e *wire.Event) {
	if c.bundle != nil {
		c.tell(e)
		return
	}
	s := &c.loop.scratch
	s.Body = c.form().AppendOpen(s.Body[:0], e, &s.Frame)
	c.send(s.Body)
}

// TellText sends a text that is no event, as Tell does.
func (c *Conn) TellText(text string) {
	if c.bundle != nil {
		out := c.gather()
		out.B = append(wsframe.AppendHeader(out.B, len(text), false), text...)
		return
	}
	s := &c.loop.scratch
	s.Frame = append(wsframe.AppendHeader(s.Frame[:0], len(text), false), text...)
	c.send(s.Frame)
}

// makeBundle makes the only channel of a connection the first of several.
func (c *Conn) makeBundle() {
	if c.bundle != nil {
		return
	}
	l := c.loop
	c.bundle = new(bundle)
	m := &member{name: c.ch.Name(), epoch: c.ch.Epoch(), state: memberLive, told: c.tellsPosition()}
	m.conn, m.ch, m.next = c, c.ch, c.next
	if b := l.working[c.ch]; b != nil && b.cursor == &c.subscription {
		b.cursor = &m.subscription
	}
	l.subs.replace(&c.subscription, &m.subscription)
	if c.has(flagReplaying) {
		l.replays[c.fd].sub, m.replaying = &m.subscription, true
	}
	c.subscription = subscription{conn: c}
	c.bundle.add(m)
	c.bundle.live = 1
}
