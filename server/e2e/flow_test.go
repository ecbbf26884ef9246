package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
)

// TestSlowDownload: a client may take longer for one answer than any timeout as long
// as it takes some of it; one that stops is ended, in time.
func TestSlowDownload(t *testing.T) {
	t.Parallel()
	const timeout, size = time.Second, 1 << 20
	s := narrowServer(t, func(c *config.Config) {
		c.Limits.RequestTimeout, c.Limits.IdleTimeout = config.Duration(timeout), config.Duration(timeout)
	})
	if _, err := s.hub.Publish(&channel.Publication{Name: []byte("a"), Content: strings.Repeat("z", size)}); err != nil {
		t.Fatal(err)
	}
	var all []*client
	for _, connection := range []string{"keep-alive", "close"} {
		for range 2 {
			c, err := servertest.DialNarrow(s.front, 32<<10)
			all = append(all, newClient(t, c, err))
			all[len(all)-1].sendf("GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: test\r\nConnection: %s\r\n\r\n", connection)
		}
	}
	started := time.Now()
	done := make(chan error)
	for i := 0; i < len(all); i += 2 {
		go func() { done <- takeSlowly(all[i], size) }()
	}
	checkFor(t, patience, func() error {
		if s.closedBy(reactor.ReasonIdle) != 1 || s.closedBy(reactor.ReasonFlush) != 1 {
			return errors.New("those who take nothing are not ended")
		}
		return nil
	})
	if took := time.Since(started); took < timeout-tickLength || took > timeout+servertest.Lateness {
		t.Errorf("those who take nothing are ended after %v, want %v", took, timeout)
	}
	for range len(all) / 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(started); took < 2*timeout {
		t.Fatalf("the download took %v: too quick to tell", took)
	}
	all[0].get("/ping").response() // the connection is as good as before
}

// takeSlowly reads a long answer in small pieces, 64 of a MiB, 20 a second.
func takeSlowly(c *client, size int) error {
	resp, err := http.ReadResponse(c.R, nil)
	if err != nil {
		return err
	}
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for got := 0; got < size; <-pace.C {
		n, err := io.CopyN(io.Discard, resp.Body, 16<<10)
		if got += int(n); err != nil && (err != io.EOF || got < size) {
			return fmt.Errorf("cut after %d bytes: %w", got, err)
		}
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
