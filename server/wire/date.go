package wire

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dateLine is the Date field for one second. It is immutable.
type dateLine struct {
	unix int64
	text string // the whole line
}

// date is the line of the present second. The reactors of the process set it and all heads
// take it from here, so that an answer neither asks for the time nor formats it.
var date atomic.Pointer[dateLine]

func init() { SetDate(time.Now()) }

// SetDate sets what heads say in their Date field. It has to be called more often than
// once in two seconds. Concurrency-safe.
func SetDate(now time.Time) {
	if old := date.Load(); old != nil && old.unix == now.Unix() {
		return
	}
	date.Store(&dateLine{now.Unix(), "Date: " + now.UTC().Format(http.TimeFormat) + "\r\n"})
}
