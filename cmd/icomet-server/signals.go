package main

import (
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"icomet/internal/systemd"
	"icomet/server"
	"icomet/server/config"
)

// catchSignals collects the signals that the server handles, in order. The capacity is
// for a burst while one is handled; a repeat that does not fit adds nothing.
func catchSignals() <-chan os.Signal {
	// A log that goes to a closed pipe must not end the server.
	signal.Ignore(unix.SIGPIPE)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1)
	return signals
}

// handler turns signals into calls of the server.
type handler struct {
	srv    *server.Server
	log    *logger
	pid    *pidfile
	memory memoryLimit
	// manager is told of reloads and of the end.
	manager *systemd.Notifier

	path        string // of the configuration file
	environ     []string
	started     config.Config // the configuration at the start of the process
	current     config.Config // the one in force
	descriptors uint64
	draining    bool
}

// handle runs on its own goroutine until the process ends.
func (h *handler) handle(signals <-chan os.Signal) {
	for s := range signals {
		h.log.Debug("signal received", slog.String("signal", s.String()))
		switch s {
		case unix.SIGHUP:
			h.reload()
		case unix.SIGUSR1:
			h.reopen()
		default:
			h.stop(s)
		}
	}
}

func (h *handler) stop(s os.Signal) {
	if h.draining {
		h.log.Warn("second signal, exiting at once", slog.String("signal", s.String()))
		h.pid.remove()
		os.Exit(exitError)
	}
	h.draining = true
	h.manager.Stopping(stopLimit(&h.current))
	h.log.Info("draining, a second signal exits at once", slog.String("signal", s.String()))
	h.srv.Shutdown()
}

// reload reads and applies the configuration. If it has an error, nothing changes.
func (h *handler) reload() {
	h.manager.Reloading()
	err := h.apply()
	if err != nil {
		h.log.Error("the configuration is not reloaded, the old one stays", slog.Any("error", err))
	}
	h.manager.Reloaded(err)
}

func (h *handler) apply() error {
	next, warnings, err := config.Load(h.path, h.environ)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		h.log.Warn(w)
	}
	// Compared with the configuration at the start of the process: a key that needs a
	// restart still has that value, whatever was reloaded since.
	if keys := h.started.NeedsRestart(&next); len(keys) > 0 {
		h.log.Warn("changed keys need a restart", slog.String("keys", strings.Join(keys, ", ")))
	}
	if err := h.srv.Reload(next); err != nil { // a file of keys that cannot be read
		return err
	}
	h.current = next
	for _, w := range next.Warnings() {
		h.log.Warn(w)
	}
	h.log.setLevel(next.Logger.Level)
	h.memory.set(next.Runtime.MemoryLimit)
	warnOfDescriptors(h.log.Logger, h.descriptors, next.Limits.Connections)
	h.log.Info("configuration reloaded", slog.String("config", h.path))
	return nil
}

func (h *handler) reopen() {
	if err := h.log.output.reopen(); err != nil {
		h.log.Error("the log is not reopened, the old file stays", slog.Any("error", err))
		return
	}
	h.log.Info("log reopened")
}
