package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// actionSignals are the signals that "-s ACTION" sends.
var actionSignals = map[string]unix.Signal{
	"stop":    unix.SIGTERM,
	"restart": unix.SIGTERM,
	"reload":  unix.SIGHUP,
	"reopen":  unix.SIGUSR1,
}

// signalServer signals the server that holds the pidfile. After stop and restart it waits
// for the end of that process, at most limit.
func signalServer(path, action string, limit time.Duration) error {
	if path == "" {
		return errors.New("no pidfile is configured")
	}
	process, pid, err := findServer(path)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	err = unix.PidfdSendSignal(process, actionSignals[action], nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("no server is running with pidfile %s", path)
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	if action == "reload" || action == "reopen" {
		return nil
	}
	ended, err := waitForEnd(process, limit)
	if err == nil && !ended {
		err = fmt.Errorf("has not ended within %v", limit)
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return nil
}

// findServer returns a descriptor (pidfd) of the process that holds the pidfile; the
// caller closes it. Unlike an id, a descriptor never comes to mean another process.
func findServer(path string) (process, pid int, err error) {
	// For writing, because the kernel is asked about a write lock.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return -1, 0, fmt.Errorf("no server is running: there is no pidfile %s", path)
	}
	if err != nil {
		return -1, 0, fmt.Errorf("pidfile: %w", err)
	}
	defer f.Close()
	for {
		pid, err = lockHolder(f)
		if err != nil {
			return -1, 0, fmt.Errorf("pidfile %s: %w", path, err)
		}
		if pid == 0 {
			return -1, 0, fmt.Errorf("no server is running with pidfile %s (it was left over)", path)
		}
		process, err = unix.PidfdOpen(pid, 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return -1, 0, fmt.Errorf("process %d: %w", pid, err)
		}
		if err != nil {
			continue // it has just ended; the lock will show it
		}
		// If the process still holds the lock, it is the one that the descriptor was
		// opened for: its id cannot have been reused meanwhile.
		if again, err := lockHolder(f); err == nil && again == pid {
			return process, pid, nil
		}
		unix.Close(process)
	}
}

// waitForEnd waits for the process and not for its lock, because the kernel releases the
// lock shortly before it closes the last listener.
func waitForEnd(process int, limit time.Duration) (ended bool, err error) {
	deadline := time.Now().Add(limit)
	for {
		left := max(0, time.Until(deadline)).Milliseconds()
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, int(left))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n == 1, err
	}
}
