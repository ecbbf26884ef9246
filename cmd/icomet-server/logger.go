package main

import (
	"log/slog"

	"icomet/server/config"
)

// logger is the server's log together with what can be changed about it.
type logger struct {
	*slog.Logger
	level  slog.LevelVar
	output *logOutput
}

// openLog opens the output that is configured. The level can change later, the
// output and the format cannot.
func openLog(cfg config.Logger) (*logger, error) {
	output, err := openLogOutput(cfg)
	if err != nil {
		return nil, err
	}
	l := &logger{output: output}
	l.setLevel(cfg.Level)
	l.Logger = slog.New(newLogHandler(output, cfg.Format, &l.level))
	return l, nil
}

// setLevel takes the words of the configuration, which are slog's own.
func (l *logger) setLevel(level string) {
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err == nil {
		l.level.Set(parsed)
	}
}
