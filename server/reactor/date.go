package reactor

import (
	"net/http"
	"time"
)

// setDate makes the text of the Date field for the present second. The ticking goroutine
// calls it in each of its turns, at most 400 ms apart, so that an answer neither asks for
// the time nor formats it.
func (r *Reactor) setDate(now time.Time) {
	var space [len(http.TimeFormat)]byte
	text := now.In(time.UTC).AppendFormat(space[:0], http.TimeFormat)
	if old := r.date.Load(); old == nil || *old != string(text) {
		next := string(text)
		r.date.Store(&next)
	}
}

// dateText is what an answer says in Date. Concurrency-safe.
func (r *Reactor) dateText() string { return *r.date.Load() }
