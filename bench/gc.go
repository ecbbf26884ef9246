//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// gcFigures are what the server tells of its garbage collector, if it does.
type gcFigures struct {
	cycles, pause int64 // count, ns
	known         bool
}

// readGC asks the admin port's /stats. A server without it, such as the
// ceiling, has no such figures.
func readGC(ctx context.Context, admin string) gcFigures {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/stats", nil)
	if err != nil {
		return gcFigures{}
	}
	request.Close = true // nothing of it may stay among the server's descriptors
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return gcFigures{}
	}
	defer answer.Body.Close()
	var stats struct {
		Runtime struct {
			Cycles *int64 `json:"gc_cycles"`
			Pause  *int64 `json:"gc_pause_ns_total"`
		} `json:"runtime"`
	}
	if answer.StatusCode != 200 || json.NewDecoder(answer.Body).Decode(&stats) != nil ||
		stats.Runtime.Cycles == nil || stats.Runtime.Pause == nil {
		return gcFigures{}
	}
	return gcFigures{*stats.Runtime.Cycles, *stats.Runtime.Pause, true}
}

func (g gcFigures) since(before gcFigures) (gcFigures, bool) {
	return gcFigures{g.cycles - before.cycles, g.pause - before.pause, true}, g.known && before.known
}
