package server

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/servertest"
)

func TestLoopCount(t *testing.T) {
	for _, c := range []struct{ configured, cpus, want int }{
		{0, 1, 1}, {0, 2, 1}, {0, 16, 15}, {0, 128, 64}, {2, 2, 2}, {5, 1, 5},
	} {
		if got := loopCount(c.configured, c.cpus); got != c.want {
			t.Errorf("event_loops = %d on %d CPUs: %d loops, want %d", c.configured, c.cpus, got, c.want)
		}
	}
}

// TestEveryAdminCallIsJudged: no path of the admin port but the probes, which tell
// nothing, answers a page of another site.
func TestEveryAdminCallIsJudged(t *testing.T) {
	cfg := config.Default()
	cfg.Front.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Limits.DrainTimeout = config.Duration(100 * time.Millisecond)
	s, err := New(Options{Config: cfg, Logger: slog.New(slog.DiscardHandler), CrashOnPanic: true})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	<-s.Ready()
	judged := 0
	for path, e := range s.admin {
		c, err := servertest.Dial(s.AdminAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s?cname=x&content=y HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", path)
		status, body, err := c.Answer()
		c.Close()
		refused := status == 403 && strings.Contains(body, "origin")
		if err != nil || refused == (e.guard == guardAddress) {
			t.Errorf("%s: %d %q, %v", path, status, body, err)
		}
		if refused {
			judged++
		}
	}
	if judged < 20 {
		t.Errorf("only %d paths are judged", judged)
	}
	s.Shutdown()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
