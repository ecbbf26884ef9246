package server

import "time"

// maxExpires bounds a sign's expires, in seconds: 30 days.
const maxExpires = 30 * 24 * 3600

func (l *loop) handleSign(c *conn, r *request) {
	name, ok := l.cnameOf(c, r)
	if !ok {
		return
	}
	expires, ok := l.intParam(c, r, paramExpires)
	if !ok {
		return
	}
	if expires > maxExpires {
		l.refuse(c, r, 400, "expires is over 30 days (2592000 seconds)")
		return
	}
	if expires <= 0 {
		expires = int64(l.srv.settings.Load().config.Front.ChannelTimeout)
	}
	callback, ok := l.callback(c, r)
	if !ok {
		return
	}
	a := l.newAnswer(c, r, callSign, callback, name)
	a.expires = expires
	l.srv.engine.Sign(name, time.Duration(expires)*time.Second, a)
	l.settle(c, a)
}

func (l *loop) handleClose(c *conn, r *request) {
	if name, ok := l.cnameOf(c, r); ok {
		a := l.newAnswer(c, r, callClose, nil, name)
		l.srv.engine.Close(name, a)
		l.settle(c, a)
	}
}

func (l *loop) handleClear(c *conn, r *request) {
	if name, ok := l.cnameOf(c, r); ok {
		a := l.newAnswer(c, r, callClear, nil, name)
		l.srv.engine.Clear(name, a)
		l.settle(c, a)
	}
}

// handleInfo counts one channel's subscribers, or all channels and subscribers.
func (l *loop) handleInfo(c *conn, r *request) {
	hub := l.srv.hub
	b := l.body[:0]
	if len(r.params.get(paramCname)) > 0 {
		name, ok := l.cnameOf(c, r)
		if !ok {
			return
		}
		b = append(b, `{"cname": "`...)
		b = appendJSONBody(b, name)
		b = append(b, `", "subscribers": `...)
		b = appendInt(b, int64(hub.ChannelSubscribers(name)))
	} else {
		b = append(b, `{"version": "`+Version+`", "channels": `...)
		b = appendInt(b, int64(hub.Channels()))
		b = append(b, `, "subscribers": `...)
		b = appendInt(b, int64(hub.Subscribers()))
	}
	l.body = append(b, "}\n"...)
	l.json(c, r, l.body)
}

func (l *loop) handleCheck(c *conn, r *request) {
	name, ok := l.cnameOf(c, r)
	if !ok {
		return
	}
	b := append(l.body[:0], '{')
	if l.srv.hub.Alive(name) {
		b = append(b, '"')
		b = appendJSONBody(b, name)
		b = append(b, `": 1`...)
	}
	l.body = append(b, "}\n"...)
	l.json(c, r, l.body)
}
