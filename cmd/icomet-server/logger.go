package main

import (
	"io"
	"log/slog"
	"os"
	"sync"

	"icomet/server"
)

// logger is the server's log together with what can be changed about it.
type logger struct {
	*slog.Logger
	level  slog.LevelVar
	output logOutput
}

// openLog opens the output that is configured. The level can change later, the
// output and the format cannot.
func openLog(cfg server.LoggerConfig) (*logger, error) {
	l := &logger{}
	l.setLevel(cfg.Level)
	switch cfg.Output {
	case "stderr":
		l.output.writer = os.Stderr
	case "stdout":
		l.output.writer = os.Stdout
	default:
		l.output.path = cfg.Output
		if err := l.output.reopen(); err != nil {
			return nil, err
		}
	}
	options := &slog.HandlerOptions{Level: &l.level}
	var handler slog.Handler = slog.NewTextHandler(&l.output, options)
	if cfg.Format == "json" {
		handler = slog.NewJSONHandler(&l.output, options)
	}
	l.Logger = slog.New(handler)
	return l, nil
}

// setLevel takes the words of the configuration, which are slog's own.
func (l *logger) setLevel(level string) {
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err == nil {
		l.level.Set(parsed)
	}
}

// logOutput is a writer whose file can be exchanged while others write.
type logOutput struct {
	path string // "" when it is stderr or stdout

	mu     sync.Mutex
	writer io.Writer
	file   *os.File // writer, when it is a file of ours
}

func (o *logOutput) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writer.Write(line)
}

// reopen opens the path anew, for a file that was moved away. When that fails
// the old file stays in use.
func (o *logOutput) reopen() error {
	if o.path == "" {
		return nil
	}
	f, err := os.OpenFile(o.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	o.mu.Lock()
	old := o.file
	o.file, o.writer = f, f
	o.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return nil
}
