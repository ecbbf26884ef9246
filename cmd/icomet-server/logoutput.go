package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"icomet/server/config"

	"golang.org/x/sys/unix"
)

// lookAgain is how often a deleted log file is looked for.
const lookAgain = time.Second

// logOutput is a writer whose file can be exchanged while others write. A line that
// cannot be written is counted; it is never an error for the server. When writing works
// again, a line with the number of lost lines is written first.
type logOutput struct {
	path   string // "" for stderr or stdout
	format string
	failed atomic.Uint64 // lost lines since the start

	mu     sync.Mutex
	writer io.Writer
	file   *os.File  // writer, if it is a file that we have opened
	looked time.Time // when the file was last looked for
	lost   uint64    // lost lines since the last written one
	partly bool      // the last line in the file is incomplete
}

func openLogOutput(cfg config.Logger) (*logOutput, error) {
	o := &logOutput{format: cfg.Format}
	switch cfg.Output {
	case "stderr":
		o.writer = os.Stderr
	case "stdout":
		o.writer = os.Stdout
	default:
		o.path = cfg.Output
		if err := o.reopen(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func newLogHandler(w io.Writer, format string, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// Write never fails, because no caller could do anything about it.
func (o *logOutput) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.deleted() || !o.caughtUp() || !o.write(line) {
		o.lost++
		o.failed.Add(1)
	}
	return len(line), nil
}

// caughtUp completes an incomplete line, and writes the number of lost lines. It reports
// whether both succeeded.
func (o *logOutput) caughtUp() bool {
	if o.lost == 0 {
		return true
	}
	var note bytes.Buffer
	if o.partly {
		note.WriteByte('\n')
	}
	slog.New(newLogHandler(&note, o.format, nil)).Warn("log lines could not be written", slog.Uint64("lines", o.lost))
	if !o.write(note.Bytes()) {
		return false
	}
	o.lost = 0
	return true
}

func (o *logOutput) write(line []byte) bool {
	n, err := o.writer.Write(line)
	if n > 0 {
		o.partly = n < len(line)
	}
	return err == nil
}

// deleted reports that the file has no name any more, so that nobody would ever read the
// line. Once a second it tries to create the file again. A file that was only moved still
// has a reader: logrotate signals when it wants a new one.
func (o *logOutput) deleted() bool {
	if o.file == nil {
		return false
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(o.file.Fd()), &st); err != nil || st.Nlink > 0 {
		return false
	}
	if now := time.Now(); now.Sub(o.looked) >= lookAgain {
		o.looked = now
		if f, err := openLogFile(o.path); err == nil {
			o.exchange(f)
			return false
		}
	}
	return true
}

func openLogFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// exchange makes f the log file. mu is held.
func (o *logOutput) exchange(f *os.File) {
	if o.file != nil {
		o.file.Close()
	}
	o.file, o.writer, o.partly = f, f, false
}

// reopen opens the path again, after the file was moved. If that fails, the old file
// stays in use.
func (o *logOutput) reopen() error {
	if o.path == "" {
		return nil
	}
	f, err := openLogFile(o.path)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.exchange(f)
	return nil
}
