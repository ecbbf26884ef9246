package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"icomet/internal/health"
	"icomet/internal/systemd"
	"icomet/internal/version"
	"icomet/server"
	"icomet/server/config"
)

// Exit statuses.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// stopReserve is how much longer than drain_delay and drain_timeout "-s stop" waits.
const stopReserve = 5 * time.Second

// snapshotReserve is how much longer it waits when the channels are saved then.
const snapshotReserve = time.Minute

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

func run(args, environ []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args)
	if errors.Is(err, errHelp) {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "icomet-server: %v\nTry icomet-server -h.\n", err)
		return exitUsage
	}
	if o.version {
		fmt.Fprintln(stdout, version.Line("icomet-server"))
		return exitOK
	}
	if o.imports != "" {
		if err := importConfig(o.imports, stdout); err != nil {
			fmt.Fprintln(stderr, err)
			return exitError
		}
		return exitOK
	}
	if err := runConfigured(o, environ, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "icomet-server: %v\n", err)
		return exitError
	}
	return exitOK
}

// askHealth asks the running server whether it is ready.
func askHealth(o options, environ []string) error {
	url := o.config
	if !health.IsURL(url) {
		cfg, _, err := config.Load(o.config, environ)
		if err != nil {
			return err
		}
		if url, err = healthURL(&cfg.Admin); err != nil {
			return err
		}
	}
	return health.Check(context.Background(), url)
}

// healthURL is where the admin port can be asked without a certificate.
func healthURL(admin *config.Admin) (string, error) {
	switch t := &admin.TLS; {
	case t.ListenPlain != "":
		return health.URL(t.ListenPlain, false)
	case t.ClientCA != "":
		return "", errors.New("admin.tls.client_ca lets nobody in without a certificate: set admin.tls.listen_plain")
	default:
		return health.URL(admin.Listen, t.On())
	}
}

func runConfigured(o options, environ []string, stdout, stderr io.Writer) error {
	if o.health {
		if err := askHealth(o, environ); err != nil {
			return fmt.Errorf("-health: %w", err)
		}
		return nil
	}
	cfg, warnings, err := config.Load(o.config, environ)
	if err != nil {
		return err
	}
	if o.test || o.signal != "" {
		// No log is open here, so warnings go to stderr.
		for _, w := range warnings {
			fmt.Fprintf(stderr, "icomet-server: warning: %s\n", w)
		}
	}
	if o.test {
		if err := server.CheckConfig(cfg); err != nil {
			return err
		}
		if _, err := engineOf(&cfg, nil); err != nil { // checks the files that it names
			return err
		}
		for _, w := range cfg.Warnings() {
			fmt.Fprintf(stderr, "icomet-server: warning: %s\n", w)
		}
		for i := range cfg.Channels {
			fmt.Fprintln(stdout, cfg.Channels[i].String())
		}
		fmt.Fprintln(stdout, "configuration ok")
		return nil
	}
	if o.signal != "" {
		if err := signalServer(cfg.Pidfile, o.signal, stopLimit(&cfg)); err != nil {
			return fmt.Errorf("-s %s: %w", o.signal, err)
		}
		if o.signal != "restart" {
			return nil
		}
	}
	return serve(o.config, environ, cfg, warnings)
}

// stopLimit is the longest that a server with this configuration takes to end.
func stopLimit(cfg *config.Config) time.Duration {
	limit := time.Duration(cfg.Limits.DrainDelay) + time.Duration(cfg.Limits.DrainTimeout) + stopReserve
	if cfg.Engine.Snapshot != "" {
		limit += snapshotReserve
	}
	return limit
}

// serve runs the server until it has drained.
func serve(path string, environ []string, cfg config.Config, warnings []string) error {
	// From here on a signal waits for its handler instead of ending the process, so that
	// a signal sent right after the pidfile appears is not lost.
	signals := catchSignals()

	pid, err := takePidfile(cfg.Pidfile)
	if err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	defer pid.remove()
	log, err := openLog(cfg.Logger)
	if err != nil {
		return fmt.Errorf("logger.output: %w", err)
	}
	for _, w := range append(warnings, cfg.Warnings()...) {
		log.Warn(w)
	}
	descriptors := raiseDescriptorLimit()
	warnOfDescriptors(log.Logger, descriptors, cfg.Limits.Connections)
	memory := newMemoryLimit()
	memory.set(cfg.Runtime.MemoryLimit)

	engine, err := engineOf(&cfg, log.Logger)
	if err != nil {
		return err
	}
	srv, err := server.New(server.Options{
		Config: cfg, Logger: log.Logger, LogFailures: log.output.failed.Load, Engine: engine,
	})
	if err != nil {
		return err
	}
	log.Info("starting", slog.String("version", version.Release), slog.String("go", runtime.Version()),
		slog.Int("pid", os.Getpid()), slog.String("config", path), slog.Uint64("descriptors", descriptors))
	h := handler{
		srv: srv, log: log, pid: pid, memory: memory,
		path: path, environ: environ, started: cfg, current: cfg, descriptors: descriptors,
		manager: systemd.New(srv, log.Logger),
	}
	go h.handle(signals)
	go h.manager.Run(context.Background()) // to the end of the process
	if err := srv.Run(); err != nil {
		log.Error("the server has failed", slog.Any("error", err))
		return err
	}
	return nil
}
