//go:build linux

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"icomet/bench/report"
	"icomet/bench/target"
)

// short is the set of `make bench`: three minutes with one round.
var short = []struct {
	title    string
	scenario string
	flags    []string
	figures  []string // that the table shows
}{
	{"15,000 idle streams on as many channels", "idle", []string{"-n", "15000", "-settle", "5s"}, []string{"server RSS per connection"}},
	{"fan-out to 10,000", "fanout", []string{"-n", "10000"}, []string{"deliveries", "server CPU per", "latency p99"}},
	{"fan-out to 1,000", "fanout", nil, []string{"deliveries", "server CPU per", "latency p99"}},
	{"fan-out to 1,000, WebSocket", "fanout", []string{"-transport", "ws"}, []string{"deliveries", "server CPU per", "latency p99"}},
	{"5,000 channels, 32 publishers", "unicast", nil, []string{"deliveries", "server CPU per", "latency p99"}},
	{"1,000 connections with 50 of 5,000 channels each", "multi", []string{"-settle", "0"}, []string{"deliveries", "server CPU per", "latency p99"}},
	{"publish, 32 connections", "publish", nil, []string{"publishes", "server CPU per", "answer p99"}},
	{"the same, 16 in flight on each", "publish", []string{"-depth", "16"}, []string{"publishes", "server CPU per", "answer p99"}},
	{"2,000 long-pollers on one channel", "poll", nil, []string{"deliveries", "server CPU per", "latency p99"}},
	{"connect, get one message, leave", "churn", nil, []string{"cycles", "server CPU per", "cycle p99"}},
}

const (
	tableBegin = "<!-- bench: begin -->"
	tableEnd   = "<!-- bench: end -->"
)

// runSuite runs the short set and writes its table.
func runSuite(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("icomet-bench suite", flag.ContinueOnError)
	server := f.String("server", "", "the `server` to measure: a command line")
	rounds := f.Int("rounds", 1, "rounds; the figures are medians")
	duration := f.Duration("duration", 3*time.Second, "the counted time of each run")
	update := f.String("update", "", "also put the table into this `file`, between "+tableBegin+" and "+tableEnd)
	if err := parse(f, args); err != nil {
		return err
	}
	switch {
	case *server == "":
		return wrong(f, "want -server")
	case *rounds < 1:
		return wrong(f, "-rounds: want at least 1")
	}
	var table bytes.Buffer
	table.WriteString("| scenario | figure | ceiling | iComet | ratio |\n|---|---|--:|--:|--:|\n")
	var failed int64
	for _, s := range short {
		flags := append([]string{"-duration", duration.String(), "-warmup", "500ms"}, s.flags...)
		c, err := report.Compare(ctx, s.title, []string{target.Ceiling, *server}, *rounds, func(ctx context.Context, server string) (*report.Result, error) {
			return runApart(ctx, server, s.scenario, flags)
		})
		if err != nil {
			return err
		}
		failed += c.Failures()
		c.Markdown(&table, s.figures...)
	}
	fmt.Print(table.String())
	if failed == 0 && *update != "" {
		if err := updateTable(*update, table.Bytes()); err != nil {
			return err
		}
	}
	return failures(failed)
}

// updateTable puts a table in the place of the one between the marks.
func updateTable(name string, table []byte) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(old, []byte(tableBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %s … %s to put the table between", name, tableBegin, tableEnd)
	}
	text := fmt.Appendf(nil, "%s%s\n%s%s%s", before, tableBegin, table, tableEnd, after)
	return os.WriteFile(name, text, 0o644)
}
