package reactor

import (
	"context"
	"log/slog"
)

// Logs reports that lines of the level are written. Whoever would allocate for one asks.
func (c *Conn) Logs(level slog.Level) bool {
	return c.loop.reactor.log.Enabled(context.Background(), level)
}

// Log writes a line about r: which path, who, and for which channel (nil: none). No query and
// no field of the request is in it, since they hold tokens and keys.
func (c *Conn) Log(level slog.Level, text string, r *Request, channel []byte, more ...slog.Attr) {
	if !c.Logs(level) {
		return
	}
	client, _ := c.client(r)
	attrs := append([]slog.Attr{
		slog.String("method", r.Method.String()), slog.String("path", string(r.Path)), slog.String("client", client.String()),
	}, more...)
	if len(channel) > 0 {
		attrs = append(attrs, slog.String("channel", string(channel)))
	}
	c.loop.reactor.log.LogAttrs(context.Background(), level, text, attrs...)
}

const textRefused = "request refused"

// logRefusal writes a line at level debug about an error answer to r.
func (c *Conn) logRefusal(r *Request, status int, why string) {
	if c.Logs(slog.LevelDebug) {
		c.Log(slog.LevelDebug, textRefused, r, r.Params.Get(ParamCname), slog.Int("status", status), slog.String("reason", why))
	}
}

// logError does the same when there is no request to go by any more: one that could not be
// read, or one that an engine has refused.
func (c *Conn) logError(channel []byte, status int, why string) {
	if c.Logs(slog.LevelDebug) {
		c.loop.reactor.log.LogAttrs(context.Background(), slog.LevelDebug, textRefused, slog.String("client", c.peer().String()),
			slog.String("channel", string(channel)), slog.Int("status", status), slog.String("reason", why))
	}
}

// RefuseInBand counts a refusal that the subscriber r is told in its transport's own form.
func (c *Conn) RefuseInBand(r *Request, why error) {
	c.loop.stats.refusedInBand(why)
	if c.Logs(slog.LevelDebug) {
		c.Log(slog.LevelDebug, "subscriber refused", r, r.Params.Get(ParamCname), slog.String("reason", why.Error()))
	}
}
