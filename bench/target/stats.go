//go:build linux

package target

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// GC is what servers say of their garbage collectors: cycles, and ns of pauses.
type GC struct {
	Cycles, Pause int64
	known         bool
}

// ReadGC asks every node and adds up what they say. Servers without /stats, such as the
// ceiling, have no such figures: see Since.
func ReadGC(ctx context.Context, nodes []Node) GC {
	sum := GC{known: true}
	for _, n := range nodes {
		g := readNodeGC(ctx, n.Admin)
		sum = GC{sum.Cycles + g.Cycles, sum.Pause + g.Pause, sum.known && g.known}
	}
	return sum
}

func readNodeGC(ctx context.Context, admin string) GC {
	var stats struct {
		Runtime struct {
			Cycles *int64 `json:"gc_cycles"`
			Pause  *int64 `json:"gc_pause_ns_total"`
		} `json:"runtime"`
	}
	if ReadStats(ctx, admin, &stats) != nil || stats.Runtime.Cycles == nil || stats.Runtime.Pause == nil {
		return GC{}
	}
	return GC{*stats.Runtime.Cycles, *stats.Runtime.Pause, true}
}

// ReadVersion is what the nodes say they are, each version once; "" if they do not say.
func ReadVersion(ctx context.Context, nodes []Node) string {
	var all []string
	for _, n := range nodes {
		var stats struct{ Version string }
		if ReadStats(ctx, n.Admin, &stats) == nil && stats.Version != "" && !slices.Contains(all, stats.Version) {
			all = append(all, stats.Version)
		}
	}
	return strings.Join(all, ", ")
}

// ReadStats asks the server at an admin address for /stats and decodes the answer into a
// pointer, as encoding/json does. It waits for at most 2 seconds.
func ReadStats(ctx context.Context, admin string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/stats", nil)
	if err != nil {
		return err
	}
	request.Close = true // this connection must not be counted among the server's descriptors
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

// Since returns what happened after before; ok is false when a node did not say.
func (g GC) Since(before GC) (since GC, ok bool) {
	return GC{g.Cycles - before.Cycles, g.Pause - before.Pause, true}, g.known && before.known
}
