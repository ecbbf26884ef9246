package server

import (
	"errors"

	"icomet/channel"
	"icomet/internal/version"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// formats are how the engine's results become answers.
type formats struct {
	publish, position, broadcast, sign, next, info, totals, build, check reactor.Format
}

// newFormats makes the functions once, so that a publish allocates none.
func (s *Server) newFormats() formats {
	return formats{
		publish:   orError(formatPublish),
		position:  orError(formatPosition),
		broadcast: orError(func(dst []byte, a *reactor.Answer) []byte { return a.AppendText(dst, []byte("ok\n")) }),
		sign:      orError(s.formatSign),
		next:      orError(formatNext),
		info:      orError(formatInfo),
		totals:    orError(formatTotals),
		build:     orError(formatBuild),
		check:     orError(formatCheck),
	}
}

// orError answers an engine's error, and otherwise calls f.
func orError(f reactor.Format) reactor.Format {
	return func(dst []byte, a *reactor.Answer) []byte {
		if a.Res.Err != nil {
			return appendEngineError(dst, a)
		}
		return f(dst, a)
	}
}

// appendBody appends a's answer with the JSON text in the scratch body, without its
// newline.
func appendBody(dst []byte, a *reactor.Answer, body []byte) []byte {
	sc := a.Conn.Scratch()
	sc.Body = append(body, '\n')
	return a.AppendJSON(dst, sc.Body)
}

func formatPublish(dst []byte, a *reactor.Answer) []byte {
	return appendBody(dst, a, append(a.Conn.Scratch().Body[:0], `{"type":"ok"}`...))
}

// formatPosition answers a publish with where the message is.
func formatPosition(dst []byte, a *reactor.Answer) []byte {
	b := append(a.Conn.Scratch().Body[:0], `{"type":"ok","cname":"`...)
	b = wire.AppendJSON(b, a.Cname)
	b = append(b, `","seq":`...)
	b = wire.AppendInt(b, a.Res.Seq)
	b = append(b, `,"epoch":"`...)
	b = append(wire.AppendEpoch(b, a.Res.Epoch), '"')
	if a.Res.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	return appendBody(dst, a, append(b, '}'))
}

// appendConflict answers a publish that the state of its channel forbids.
func appendConflict(dst []byte, a *reactor.Answer, why string) []byte {
	sc := a.Conn.Scratch()
	b := append(sc.Body[:0], `{"type":"409","cname":"`...)
	b = wire.AppendJSON(b, a.Cname)
	b = append(b, `","seq":`...)
	b = wire.AppendInt(b, a.Res.Seq)
	b = append(b, `,"content":"`...)
	b = append(b, why...)
	b = append(b, `","epoch":"`...)
	if a.Res.Epoch != 0 {
		b = wire.AppendEpoch(b, a.Res.Epoch)
	}
	sc.Body = append(b, "\"}\n"...)
	return a.AppendConflict(dst, sc.Body, why)
}

// conflictText is why the state of a channel forbids a publish; "": err is another error.
func conflictText(err error) string {
	switch {
	case errors.Is(err, channel.ErrEnded):
		return "the channel has ended"
	case errors.Is(err, channel.ErrConflict):
		return "the next message of the channel is another one than if_seq and epoch say"
	}
	return ""
}

func (s *Server) formatSign(dst []byte, a *reactor.Answer) []byte {
	b := append(a.Conn.Scratch().Body[:0], `{"type":"sign","cname":"`...)
	b = wire.AppendJSON(b, a.Cname)
	b = append(b, `","seq":`...)
	b = wire.AppendInt(b, a.Res.Seq)
	b = append(b, `,"token":"`...)
	b = append(b, a.Res.Token...)
	b = append(b, `","expires":`...)
	b = wire.AppendInt(b, a.Expires)
	b = append(b, `,"sub_timeout":`...)
	b = wire.AppendInt(b, int64(s.settings.Load().config.Front.PollingTimeout))
	return appendBody(dst, a, append(b, '}'))
}

// formatNext answers /close and /clear with the channel's next seq.
func formatNext(dst []byte, a *reactor.Answer) []byte {
	sc := a.Conn.Scratch()
	b := append(sc.Body[:0], "ok "...)
	sc.Body = append(wire.AppendInt(b, a.Res.Seq), '\n')
	return a.AppendText(dst, sc.Body)
}

func formatInfo(dst []byte, a *reactor.Answer) []byte {
	b := append(a.Conn.Scratch().Body[:0], `{"cname": "`...)
	b = wire.AppendJSON(b, a.Cname)
	b = append(b, `", "subscribers": `...)
	b = wire.AppendInt(b, int64(a.Res.Subscribers))
	return appendBody(dst, a, append(b, '}'))
}

func formatTotals(dst []byte, a *reactor.Answer) []byte {
	return appendBody(dst, a, append(appendTotals(a), '}'))
}

// appendTotals begins the body of /info.
func appendTotals(a *reactor.Answer) []byte {
	b := append(a.Conn.Scratch().Body[:0], `{"version": "`+version.Release+`", "channels": `...)
	b = wire.AppendInt(b, int64(a.Res.Channels))
	b = append(b, `, "subscribers": `...)
	return wire.AppendInt(b, int64(a.Res.Subscribers))
}

// buildFields stand behind those of /info in the answer to build=1. Without it the answer is
// the original's.
var buildFields = func() string {
	b := version.Of()
	return `, "commit": "` + b.Commit + `", "date": "` + b.Date + `", "go": "` + b.Go + `", "gnet": "` + b.Gnet + `"}`
}()

func formatBuild(dst []byte, a *reactor.Answer) []byte {
	return appendBody(dst, a, append(appendTotals(a), buildFields...))
}

func formatCheck(dst []byte, a *reactor.Answer) []byte {
	b := append(a.Conn.Scratch().Body[:0], '{')
	if a.Res.Alive {
		b = append(b, '"')
		b = wire.AppendJSON(b, a.Cname)
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

func appendEngineError(dst []byte, a *reactor.Answer) []byte {
	if why := conflictText(a.Res.Err); why != "" {
		return appendConflict(dst, a, why)
	}
	if errors.Is(a.Res.Err, channel.ErrNotFound) {
		return a.AppendError(dst, 404, "channel["+string(wire.AppendJSON(nil, a.Cname))+"] not connected")
	}
	status, text := engineError(a.Res.Err)
	return a.AppendError(dst, status, text)
}

// engineError is the status and the sentence for what an engine refuses.
func engineError(err error) (status int, text string) {
	for _, e := range engineErrors {
		if errors.Is(err, e.err) {
			return e.status, e.text
		}
	}
	return 500, err.Error()
}
