//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// gcFigures are what the server tells of its garbage collector, if it does.
type gcFigures struct {
	cycles, pause int64 // count, ns
	known         bool
}

// readGC adds up what the nodes tell. A server without /stats, such as the
// ceiling, has no such figures.
func readGC(ctx context.Context, nodes []Node) gcFigures {
	sum := gcFigures{known: true}
	for _, n := range nodes {
		g := readNodeGC(ctx, n.Admin)
		sum = gcFigures{sum.cycles + g.cycles, sum.pause + g.pause, sum.known && g.known}
	}
	return sum
}

func readNodeGC(ctx context.Context, admin string) gcFigures {
	var stats struct {
		Runtime struct {
			Cycles *int64 `json:"gc_cycles"`
			Pause  *int64 `json:"gc_pause_ns_total"`
		} `json:"runtime"`
	}
	if readStats(ctx, admin, &stats) != nil || stats.Runtime.Cycles == nil || stats.Runtime.Pause == nil {
		return gcFigures{}
	}
	return gcFigures{*stats.Runtime.Cycles, *stats.Runtime.Pause, true}
}

// readStats asks an admin port's /stats.
func readStats(ctx context.Context, admin string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/stats", nil)
	if err != nil {
		return err
	}
	request.Close = true // nothing of it may stay among the server's descriptors
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return fmt.Errorf("/stats: %s", answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

func (g gcFigures) since(before gcFigures) (gcFigures, bool) {
	return gcFigures{g.cycles - before.cycles, g.pause - before.pause, true}, g.known && before.known
}
