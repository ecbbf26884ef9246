package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"icomet/client"
)

// stats is the part of /stats that top shows.
type stats struct {
	Version     string  `json:"version"`
	Uptime      float64 `json:"uptime_seconds"`
	Draining    bool    `json:"draining"`
	Connections struct {
		Front, Admin, Limit int64
		ByTransport         map[string]int64 `json:"subscribers_by_transport"`
		Accepted            float64          `json:"accepted_total"`
	} `json:"connections"`
	Channels    int64              `json:"channels"`
	Subscribers int64              `json:"subscribers"`
	Requests    float64            `json:"requests_total"`
	Publishes   float64            `json:"publishes_total"`
	Broadcasts  float64            `json:"broadcasts_total"`
	Deliveries  float64            `json:"deliveries_total"`
	Heartbeats  float64            `json:"heartbeats_total"`
	BytesIn     float64            `json:"bytes_in_total"`
	BytesOut    float64            `json:"bytes_out_total"`
	Closed      map[string]float64 `json:"closed_total_by_reason"`
	Refused     map[string]float64 `json:"refused_total_by_reason"`
	Loops       []struct {
		Queued int64   `json:"queued_messages"`
		Lag    float64 `json:"lag_ms"`
		LagMax float64 `json:"lag_max_ms"`
	} `json:"loops"`
	Runtime struct {
		RSS        float64 `json:"rss_bytes"`
		Heap       float64 `json:"heap_bytes"`
		Goroutines int64   `json:"goroutines"`
		GCCycles   float64 `json:"gc_cycles"`
		GCPauseMax float64 `json:"gc_pause_ns_max_recent"`
	} `json:"runtime"`
}

func newTop(p *place) *cobra.Command {
	var every time.Duration
	var rounds int
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show what the server does, live",
		Long: `Show connections, rates, closes and memory, renewed until Ctrl-C. Rates are those of
the time since the last renewal. Where the output is no terminal, each renewal is
printed below the last one.`,
		Example: `  icomet top
  icomet top --every 5s
  icomet top --rounds 2 | tail -20`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return errors.New("--every: want at least 100ms")
			}
			if rounds < 0 {
				return errors.New("--rounds: want 0 or more")
			}
			admin, err := p.adminClient()
			if err != nil {
				return err
			}
			return top(cmd.Context(), admin, cmd.OutOrStdout(), every, rounds)
		},
	}
	cmd.Flags().DurationVarP(&every, "every", "e", time.Second, "the time between renewals")
	cmd.Flags().IntVarP(&rounds, "rounds", "r", 0, "end after so many renewals; 0: never")
	return cmd
}

// top draws pages until ctx ends. When the server cannot be reached, it tries again.
func top(ctx context.Context, admin *client.Admin, stdout io.Writer, every time.Duration, rounds int) error {
	s := newScreen(stdout)
	defer s.close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last stats
	var at time.Time
	for round := 1; ; round++ {
		now, err := readStats(ctx, admin)
		moment := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && at.IsZero():
			return err
		case err != nil:
			s.draw([]byte("no answer: " + explain(err) + "\n"))
		default:
			// A restarted server counts from 0 again.
			if at.IsZero() || now.Uptime < last.Uptime {
				last, at = now, moment
			}
			s.draw(page(&now, &last, moment.Sub(at)))
			last, at = now, moment
		}
		if round == rounds {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// patience is how long top waits for an answer. A page without one says so.
const patience = 5 * time.Second

var errNoAnswer = errors.New("the server does not answer")

func readStats(ctx context.Context, admin *client.Admin) (s stats, err error) {
	try, cancel := context.WithTimeoutCause(ctx, patience, errNoAnswer)
	defer cancel()
	b, err := admin.Stats(try)
	if err != nil && context.Cause(try) == errNoAnswer {
		return s, errNoAnswer
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("/stats: %w", err)
	}
	return s, nil
}

// page is the text of one page.
func page(now, last *stats, elapsed time.Duration) []byte {
	var b bytes.Buffer
	rate := func(a, z float64) string {
		if elapsed <= 0 {
			return "-"
		}
		return short((z-a)/elapsed.Seconds(), 1000, "") + "/s"
	}
	state := ""
	if now.Draining {
		state = ", draining"
	}
	fmt.Fprintf(&b, "icomet %s, up %v%s\n\n", now.Version, (time.Duration(now.Uptime) * time.Second).String(), state)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	c := &now.Connections
	fmt.Fprintf(t, "connections\t%d front\t%d admin\t%d at most\t%s new\n", c.Front, c.Admin, c.Limit, rate(last.Connections.Accepted, c.Accepted))
	fmt.Fprintf(t, "channels\t%d\t\t\t\n", now.Channels)
	by := []string{}
	for _, name := range slices.Sorted(maps.Keys(c.ByTransport)) {
		if n := c.ByTransport[name]; n > 0 {
			by = append(by, fmt.Sprintf("%d %s", n, name))
		}
	}
	fmt.Fprintf(t, "subscribers\t%d\t%s\n", now.Subscribers, strings.Join(by, ", ")) // no tab at the end: it needs no column
	fmt.Fprintf(t, "requests\t%s\t%s publishes\t%s broadcasts\t\n", rate(last.Requests, now.Requests),
		rate(last.Publishes, now.Publishes), rate(last.Broadcasts, now.Broadcasts))
	fmt.Fprintf(t, "deliveries\t%s\t%s heartbeats\t\t\n", rate(last.Deliveries, now.Deliveries), rate(last.Heartbeats, now.Heartbeats))
	bytesRate := func(a, z float64) string {
		if elapsed <= 0 {
			return "-"
		}
		return short((z-a)/elapsed.Seconds(), 1024, "B") + "/s"
	}
	fmt.Fprintf(t, "bytes\t%s in\t%s out\t\t\n", bytesRate(last.BytesIn, now.BytesIn), bytesRate(last.BytesOut, now.BytesOut))
	fmt.Fprintf(t, "memory\t%s RSS\t%s heap\t%d goroutines\t\n", short(now.Runtime.RSS, 1024, "B"), short(now.Runtime.Heap, 1024, "B"), now.Runtime.Goroutines)
	fmt.Fprintf(t, "GC\t%s\t%.2f ms longest pause\t\t\n", rate(last.Runtime.GCCycles, now.Runtime.GCCycles), now.Runtime.GCPauseMax/1e6)
	for i, l := range now.Loops {
		fmt.Fprintf(t, "loop %d\t%.2f ms lag\t%.2f ms at most\t%d queued\t\n", i, l.Lag, l.LagMax, l.Queued)
	}
	t.Flush() // into memory, so it cannot fail
	listCounts(&b, "closed", now.Closed)
	listCounts(&b, "refused", now.Refused)
	return b.Bytes()
}

// listCounts lists the reasons that have occurred, the most frequent first.
func listCounts(b *bytes.Buffer, title string, counts map[string]float64) {
	names := []string{}
	for name, n := range counts {
		if n > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), strings.Compare(x, y))
	})
	fmt.Fprintf(b, "\n%s so far:", title)
	for _, name := range names {
		fmt.Fprintf(b, "  %s %.0f", name, counts[name])
	}
	b.WriteByte('\n')
}

// short writes a number in at most five characters, and its unit.
func short(v, step float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T"}
	i := 0
	for ; v >= step && i < len(prefixes)-1; i++ {
		v /= step
	}
	digits := 0
	if v < 10 && v != float64(int64(v)) {
		digits = 1
	}
	text := fmt.Sprintf("%.*f", digits, v)
	if suffix := prefixes[i] + unit; suffix != "" {
		text += " " + suffix
	}
	return text
}
