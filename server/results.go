package server

import (
	"errors"

	"icomet/channel"
)

// formats are how the engine's results become answers.
type formats struct {
	publish, broadcast, sign, next, info, totals, check format
}

// newFormats makes each once, so that a publish allocates none.
func (s *Server) newFormats() formats {
	return formats{
		publish:   orError(formatPublish),
		broadcast: orError(func(dst []byte, a *answer) []byte { return a.appendText(dst, []byte("ok\n")) }),
		sign:      orError(s.formatSign),
		next:      orError(formatNext),
		info:      orError(formatInfo),
		totals:    orError(formatTotals),
		check:     orError(formatCheck),
	}
}

// orError answers an engine's error, and a result as f does.
func orError(f format) format {
	return func(dst []byte, a *answer) []byte {
		if a.res.Err != nil {
			return appendEngineError(dst, a)
		}
		return f(dst, a)
	}
}

// appendBody appends a's answer with the JSON text in the scratch body, without its
// newline.
func appendBody(dst []byte, a *answer, body []byte) []byte {
	sc := a.conn.scratch()
	sc.body = append(body, '\n')
	return a.appendJSON(dst, sc.body)
}

func formatPublish(dst []byte, a *answer) []byte {
	return appendBody(dst, a, append(a.conn.scratch().body[:0], `{"type":"ok"}`...))
}

func (s *Server) formatSign(dst []byte, a *answer) []byte {
	b := append(a.conn.scratch().body[:0], `{"type":"sign","cname":"`...)
	b = appendJSONBody(b, a.cname)
	b = append(b, `","seq":`...)
	b = appendInt(b, a.res.Seq)
	b = append(b, `,"token":"`...)
	b = append(b, a.res.Token...)
	b = append(b, `","expires":`...)
	b = appendInt(b, a.expires)
	b = append(b, `,"sub_timeout":`...)
	b = appendInt(b, int64(s.settings.Load().config.Front.PollingTimeout))
	return appendBody(dst, a, append(b, '}'))
}

// formatNext answers /close and /clear with the channel's next seq.
func formatNext(dst []byte, a *answer) []byte {
	sc := a.conn.scratch()
	b := append(sc.body[:0], "ok "...)
	sc.body = append(appendInt(b, a.res.Seq), '\n')
	return a.appendText(dst, sc.body)
}

func formatInfo(dst []byte, a *answer) []byte {
	b := append(a.conn.scratch().body[:0], `{"cname": "`...)
	b = appendJSONBody(b, a.cname)
	b = append(b, `", "subscribers": `...)
	b = appendInt(b, int64(a.res.Subscribers))
	return appendBody(dst, a, append(b, '}'))
}

func formatTotals(dst []byte, a *answer) []byte {
	b := append(a.conn.scratch().body[:0], `{"version": "`+Version+`", "channels": `...)
	b = appendInt(b, int64(a.res.Channels))
	b = append(b, `, "subscribers": `...)
	b = appendInt(b, int64(a.res.Subscribers))
	return appendBody(dst, a, append(b, '}'))
}

func formatCheck(dst []byte, a *answer) []byte {
	b := append(a.conn.scratch().body[:0], '{')
	if a.res.Alive {
		b = append(b, '"')
		b = appendJSONBody(b, a.cname)
		b = append(b, `": 1`...)
	}
	return appendBody(dst, a, append(b, '}'))
}

// engineErrors maps what an engine refuses to a status and a sentence.
var engineErrors = []struct {
	err    error
	status int
	text   string
}{
	{channel.ErrTooManyChannels, 429, "too many channels (front.max_channels)"},
	{channel.ErrMemory, 503, "memory is short: no new channels for now (runtime.memory_limit)"},
	{channel.ErrOverloaded, 503, "overloaded: a delivery queue is full; try again"},
	{channel.ErrStopped, 503, "the server is shutting down"},
	{channel.ErrUnavailable, 503, "the store of the channels cannot be reached, whether this was done is not known; try again"},
}

func appendEngineError(dst []byte, a *answer) []byte {
	if errors.Is(a.res.Err, channel.ErrNotFound) {
		return a.appendError(dst, 404, "channel["+string(a.cname)+"] not connected")
	}
	for _, e := range engineErrors {
		if errors.Is(a.res.Err, e.err) {
			return a.appendError(dst, e.status, e.text)
		}
	}
	return a.appendError(dst, 500, a.res.Err.Error())
}
