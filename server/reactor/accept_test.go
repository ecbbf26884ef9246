package reactor

import (
	"errors"
	"fmt"
	"testing"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// TestGnetGoesOnAfterAccept: what gnet looks for to end its engine is never found.
func TestGnetGoesOnAfterAccept(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, gneterrors.ErrAcceptSocket, fmt.Errorf("wrapped: %w", gneterrors.ErrAcceptSocket), gneterrors.ErrEngineShutdown} {
		if errors.Is(err, gneterrors.ErrAcceptSocket) {
			t.Errorf("%v would end the engine", err)
		}
	}
	if !errors.Is(gneterrors.ErrEngineShutdown, gneterrors.ErrEngineShutdown) || errors.Is(gneterrors.ErrAcceptSocket, gneterrors.ErrEngineShutdown) {
		t.Error("the engine could not be stopped, or would stop")
	}
}

// TestGuardPausesAndResumes: after some failures the listeners are left alone, and then
// newcomers are served again; a single failure costs nobody a moment.
func TestGuardPausesAndResumes(t *testing.T) {
	t.Parallel()
	s := start(t, 2, nil)
	if n := len(s.accepts.listeners); n != 4 {
		t.Fatalf("two loops have %d listeners", n)
	}
	for i := range 3 * acceptTries {
		s.accepts.failed(unix.ENOMEM)
		if paused := s.accepts.isPaused(); paused != (i+1 >= acceptTries) {
			t.Fatalf("paused is %v after %d failures", paused, i+1)
		}
	}
	dial(t, s.front).get("/ping").wantAnswer(200, "ping\n")
	s.checkFor(func() error {
		if s.accepts.isPaused() {
			return errors.New("it pauses")
		}
		return nil
	})
	if n := s.AcceptFailures(); n != 3*acceptTries {
		t.Errorf("%d failures are counted", n)
	}
}

func (g *acceptGuard) isPaused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused
}
