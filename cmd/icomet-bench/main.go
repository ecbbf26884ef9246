//go:build linux

// Command icomet-bench puts load on an iComet server on this machine, checks
// every message, and reports what it cost. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"icomet/bench/load"
	"icomet/bench/target"
	"icomet/internal/version"
)

const usage = `usage:
  icomet-bench SCENARIO [flags]           run a scenario: idle fanout unicast publish poll churn slow multi mixed
  icomet-bench ceiling SCENARIO [flags]   the same on the ceiling: a bare C epoll loop, the machine's limit
  icomet-bench ab -a SERVER -b SERVER [-rounds 5] SCENARIO [flags]
                                          alternate between servers, medians and ratios
  icomet-bench suite -server SERVER [-update FILE]
                                          the short set against the ceiling, as a table
  icomet-bench redis -server SERVER -library COMMAND
                                          what the Redis engine costs and adds (bench/redis/redis)
  icomet-bench cluster -server SERVER [-nodes 12] [-n 18000]
                                          several nodes with one Redis (bench/cluster/cluster)
  icomet-bench -version                   print the version
SERVER is a command line, "ceiling" or "nchan". A server that runs already is
given by -front, -admin and -pid instead. icomet-bench SCENARIO -help lists the flags.

Exit status: 0, or 1 when a message was lost, duplicated, reordered or corrupt
(or the run failed otherwise), or 2 for a wrong command line.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(status(run(ctx, os.Args[1:])))
}

// errUsage is a wrong command line, already explained.
var errUsage = errors.New("usage")

// wrong says what is wrong with a command line, and how it is written.
func wrong(f *flag.FlagSet, problem string) error {
	fmt.Fprintf(f.Output(), "%s: %s\n", f.Name(), problem)
	f.Usage()
	return errUsage
}

// parse reads flags, which say themselves what is wrong with one, and refuses arguments.
// It returns flag.ErrHelp when help was asked for.
func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage
	}
	if f.NArg() > 0 {
		return wrong(f, fmt.Sprintf("unexpected %q", f.Arg(0)))
	}
	return nil
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	switch args[0] {
	case load.WorkerCommand:
		return load.RunWorker(os.Stdin, os.Stdout)
	case "ceiling":
		if len(args) == 1 {
			fmt.Fprint(os.Stderr, usage)
			return errUsage
		}
		return runScenario(ctx, args[1], append([]string{"-server", target.Ceiling}, args[2:]...))
	case "ab":
		return runAB(ctx, args[1:])
	case "suite":
		return runSuite(ctx, args[1:])
	case "redis":
		return runRedis(ctx, args[1:])
	case "cluster":
		return runCluster(ctx, args[1:])
	case "-version", "--version":
		fmt.Println(version.Line("icomet-bench"))
		return nil
	case "help", "-h", "-help", "--help":
		fmt.Print(usage)
		return nil
	}
	return runScenario(ctx, args[0], args[1:])
}

func status(err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintln(os.Stderr, "icomet-bench:", err)
	return 1
}
