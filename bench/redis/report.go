//go:build linux

package redis

import (
	"fmt"
	"io"
	"text/tabwriter"

	"icomet/bench/report"
	"icomet/bench/tally"
)

// Report is what several rounds found out; the figures that it writes are medians.
type Report struct {
	Rounds    []Round
	Delays    []Delays
	Bystander Bystander
}

// WriteCosts writes a table of what publishes cost, and two ratios. The error is w's.
func (r *Report) WriteCosts(w io.Writer) error {
	mid := func(of func(Round) float64) float64 { return medianOf(r.Rounds, of) }
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "publishes, %d in flight: medians of %d rounds\ta second\tRedis, µs\tserver, µs\tclient, µs\tRedis, %% of a core\t\n", inFlight, len(r.Rounds))
	for _, row := range []struct {
		name string
		of   func(Round) Cost
	}{
		{"redis-benchmark, the same script", func(r Round) Cost { return r.Benchmark }},
		{"through a server, Redis engine", func(r Round) Cost { return r.Publish }},
		{"through a server, memory engine", func(r Round) Cost { return r.Memory }},
	} {
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t\n", row.name,
			report.Number(mid(func(r Round) float64 { return row.of(r).Rate })),
			mid(func(r Round) float64 { return row.of(r).Redis }),
			mid(func(r Round) float64 { return row.of(r).Server }),
			mid(func(r Round) float64 { return row.of(r).Client }),
			mid(func(r Round) float64 { return row.of(r).RedisShare * 100 }))
	}
	fmt.Fprintf(t, "a call of the client library alone\t\t\t%.1f\t\t\t\n", mid(func(r Round) float64 { return r.Library }))
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "  rate, by redis-benchmark's: %.2f\n  server's CPU, by that of a memory publish and a library call: %.2f\n",
		mid(func(r Round) float64 { return r.Publish.Rate / r.Benchmark.Rate }),
		mid(func(r Round) float64 { return r.Publish.Server / (r.Memory.Server + r.Library) }))
	return err
}

// WriteDelays writes a table of the latencies, in ms. The error is w's.
func (r *Report) WriteDelays(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "latency at %d messages a second: medians of %d rounds, ms\tp50\tp99\tp99.9\t\n", delayRate, len(r.Delays))
	for _, row := range []struct {
		name string
		of   func(Delays) tally.Quantiles
	}{
		{"one server, memory engine", func(d Delays) tally.Quantiles { return d.Memory }},
		{"Redis engine, subscriber on the same node", func(d Delays) tally.Quantiles { return d.SameNode }},
		{"Redis engine, subscriber on another node", func(d Delays) tally.Quantiles { return d.OtherNode }},
	} {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t\n", row.name,
			medianOf(r.Delays, func(d Delays) float64 { return row.of(d).P50 }),
			medianOf(r.Delays, func(d Delays) float64 { return row.of(d).P99 }),
			medianOf(r.Delays, func(d Delays) float64 { return row.of(d).P999 }))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "  another node adds at p99: %.2f ms\n",
		medianOf(r.Delays, func(d Delays) float64 { return d.OtherNode.P99 - d.Memory.P99 }))
	return err
}

// WriteBystander writes what the channels of another node cost a node. The error is w's.
func (r *Report) WriteBystander(w io.Writer) error {
	b := r.Bystander
	_, err := fmt.Fprintf(w, "%d messages to channels without subscribers on a node: %d came to it, %.2f %% of a core (%.2f %% while nothing is published)\n",
		b.Published, b.Received, b.CPU, b.IdleCPU)
	return err
}

func medianOf[T any](list []T, of func(T) float64) float64 {
	values := make([]float64, len(list))
	for i, v := range list {
		values[i] = of(v)
	}
	return report.Median(values)
}
