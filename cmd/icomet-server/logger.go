package main

import (
	"log/slog"

	"icomet/server/config"
)

// logger is the server's log, with its level and output, which can change.
type logger struct {
	*slog.Logger
	level  slog.LevelVar
	output *logOutput
}

// openLog opens the configured output. The level can change later (setLevel); the output
// and the format cannot.
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

// setLevel takes the words of the configuration, which are those of slog.
func (l *logger) setLevel(level string) {
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err == nil {
		l.level.Set(parsed)
	}
}
