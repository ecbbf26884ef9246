//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"icomet/bench/report"
	"icomet/bench/scenario"
)

// runAB alternates between servers on one scenario.
func runAB(ctx context.Context, args []string) error {
	var servers []string
	f := flag.NewFlagSet("icomet-bench ab", flag.ContinueOnError)
	server := func(v string) error {
		servers = append(servers, v)
		return nil
	}
	f.Func("a", "the `server` that the others are compared with: a command line, \"ceiling\" or \"nchan\"; behind \" -- \" flags of the scenario for this one alone", server)
	f.Func("b", "a `server` to compare (may be repeated)", server)
	rounds := f.Int("rounds", 5, "rounds, each with fresh servers")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: icomet-bench ab -a 'SERVER [-- its flags]' -b … [-b …] [-rounds N] SCENARIO [flags of all]\n")
		f.PrintDefaults()
	}
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return errUsage // the flag has said why
	}
	switch {
	case len(servers) < 2:
		return wrong(f, "want -a and -b")
	case *rounds < 1:
		return wrong(f, "-rounds: want at least 1")
	case !slices.Contains(scenario.Names, f.Arg(0)):
		return wrong(f, fmt.Sprintf("there is no scenario %q: want one of %s", f.Arg(0), strings.Join(scenario.Names, ", ")))
	}
	c, err := report.Compare(ctx, f.Arg(0), servers, *rounds, func(ctx context.Context, server string) (*report.Result, error) {
		return runApart(ctx, server, f.Arg(0), f.Args()[1:])
	})
	if err != nil {
		return err
	}
	if err := c.WriteTable(os.Stdout); err != nil {
		return err
	}
	return failures(c.Failures())
}

func failures(n int64) error {
	if n > 0 {
		return fmt.Errorf("%d failures", n)
	}
	return nil
}

// runApart runs a scenario in a process of its own: what one run leaves in memory must not
// be in the next one's figures. flags come before those of the server, which win.
func runApart(ctx context.Context, server, scenario string, flags []string) (*report.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	server, own := report.CutFlags(server)
	args := append(append([]string{scenario}, flags...), own...)
	cmd := exec.CommandContext(ctx, self, append(args, "-server", server, "-json", "-")...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	// It stops its server before it ends.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	runErr := cmd.Run()
	var r report.Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return nil, errors.Join(runErr, fmt.Errorf("no result: %w", err))
	}
	return &r, nil // with failures, if it had any: they are part of the result
}
