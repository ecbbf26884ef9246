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
	if len(r.params.get(paramCname)) == 0 {
		l.look(c, r, callTotals, nil)
	} else if name, ok := l.cnameOf(c, r); ok {
		l.look(c, r, callInfo, name)
	}
}

func (l *loop) handleCheck(c *conn, r *request) {
	if name, ok := l.cnameOf(c, r); ok {
		l.look(c, r, callCheck, name)
	}
}

func (l *loop) look(c *conn, r *request, kind call, name []byte) {
	callback, ok := l.callback(c, r)
	if !ok {
		return
	}
	a := l.newAnswer(c, r, kind, callback, name)
	l.srv.engine.Info(name, a)
	l.settle(c, a)
}

// appendInfo appends the JSON of a look.
func appendInfo(b []byte, a *answer) []byte {
	switch a.call {
	case callInfo:
		b = append(b, `{"cname": "`...)
		b = appendJSONBody(b, a.cname)
		b = append(b, `", "subscribers": `...)
		b = appendInt(b, int64(a.res.Subscribers))
	case callTotals:
		b = append(b, `{"version": "`+Version+`", "channels": `...)
		b = appendInt(b, int64(a.res.Channels))
		b = append(b, `, "subscribers": `...)
		b = appendInt(b, int64(a.res.Subscribers))
	default:
		if b = append(b, '{'); a.res.Alive {
			b = append(b, '"')
			b = appendJSONBody(b, a.cname)
			b = append(b, `": 1`...)
		}
	}
	return append(b, '}')
}
