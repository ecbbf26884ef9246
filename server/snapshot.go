package server

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"icomet/channel"
	"icomet/channel/snapshot"
)

// openHub makes the hub. With engine.snapshot it has the channels that the server before has
// left; the file stays until Run.
func (s *Server) openHub(set *settings, path string) error {
	s.hub = channel.NewHub(set.hubLimits())
	if path == "" {
		return nil
	}
	store, err := snapshot.Open(path)
	if err != nil {
		return fmt.Errorf("engine.snapshot: %w", err)
	}
	s.snapshot = store
	if store.Unfinished {
		s.log.Warn("the server before was ended while it saved the channels: what it had written is removed, and nothing is restored from it",
			slog.String("path", path))
	}
	begun := time.Now()
	loaded, err := store.Load(s.hub, begun)
	if aside, ok := errors.AsType[*snapshot.SetAsideError](err); ok {
		s.log.Error("the saved channels cannot be used, and the server starts without channels",
			slog.String("path", path), slog.String("set_aside", aside.Aside), slog.Any("error", aside.Damage))
		s.hub = channel.NewHub(set.hubLimits()) // what was restored before the damage was found is claimed by nobody
		return nil
	}
	if err != nil {
		store.Close()
		return fmt.Errorf("engine.snapshot: %w", err)
	}
	s.logLoaded(path, &loaded, time.Since(begun))
	return nil
}

func (s *Server) logLoaded(path string, l *snapshot.Loaded, took time.Duration) {
	if l.Taken.IsZero() {
		s.log.Info("no saved channels are there", slog.String("path", path))
		return
	}
	s.log.Info("channels loaded", slog.String("path", path), slog.Int("channels", l.Restored.Channels),
		slog.Int("messages", l.Restored.Messages), slog.Int64("content_bytes", l.Restored.Content), slog.Duration("away", l.Away.Round(time.Millisecond)),
		slog.Int("expired", l.Expired), slog.Duration("took", took.Round(time.Millisecond)))
	if l.TooMany > 0 || l.Trimmed > 0 {
		s.log.Warn("not all saved channels and messages are within the limits: who missed some is told",
			slog.Int("channels_left_out", l.TooMany), slog.Int("messages_left_out", l.Trimmed))
	}
	if l.ClockBack > 0 {
		s.log.Warn("the clock is behind the time at which the channels were saved, so the time between is not counted",
			slog.Duration("behind", l.ClockBack))
	}
}

// Run serves until a drain has ended, then saves the channels if that is configured. It
// returns nil when all of this has been done.
func (s *Server) Run() error {
	err := s.runAndSave()
	if err == nil {
		s.log.Info("stopped")
	}
	return err
}

func (s *Server) runAndSave() error {
	if s.snapshot == nil {
		return s.reactor.Run()
	}
	defer s.snapshot.Close()
	// From the first publish on, the file would say what is not so any more.
	if err := s.snapshot.Remove(); err != nil {
		s.reactor.Close()
		return fmt.Errorf("engine.snapshot: %w", err)
	}
	err := s.reactor.Run()
	select {
	case <-s.reactor.Ready():
		if err != nil { // not drained: who knows what was delivered
			return err
		}
	default: // it has not begun to serve
	}
	return errors.Join(err, s.save())
}

// save writes the channels. No endpoint can change them any more.
func (s *Server) save() error {
	begun := time.Now()
	s.log.Info("saving the channels", slog.Int("channels", s.hub.Channels()))
	saved, err := s.snapshot.Save(s.hub, begun)
	if err != nil {
		return fmt.Errorf("engine.snapshot: the channels are not saved: %w", err)
	}
	s.log.Info("channels saved", slog.Int("channels", saved.Channels), slog.Int("messages", saved.Messages),
		slog.Int64("content_bytes", saved.Content), slog.Int64("file_bytes", saved.Size), slog.Duration("took", time.Since(begun).Round(time.Millisecond)))
	return nil
}

// Close gives up a server that is not going to Run.
func (s *Server) Close() {
	s.reactor.Close()
	s.closeSnapshot()
}

func (s *Server) closeSnapshot() {
	if s.snapshot != nil {
		s.snapshot.Close()
	}
}
