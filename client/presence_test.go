package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"icomet/client"
	"icomet/server/servertest"
)

func TestPresence(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	a := client.Admin{URL: s.Admin}
	const name = "50%0A off\nand 100%"
	events := make(chan client.Presence, 10)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for e, err := range a.Presence(ctx) {
			if err != nil {
				ended <- err
				return
			}
			events <- e
		}
	}()
	s.CheckFor(servertest.Patience, func() error {
		if stats := s.Call("/stats"); !strings.Contains(stats, `"psub":1`) {
			return errors.New("nobody watches")
		}
		return nil
	})
	if _, err := a.Sign(ctx, name, 0); err != nil {
		t.Fatal(err)
	}
	online := wait(t, events)
	if _, err := a.Close(ctx, name); err != nil {
		t.Fatal(err)
	}
	offline := wait(t, events)
	if !online.Online || offline.Online || online.Channel != offline.Channel || !strings.Contains(online.Channel, "off\nand 100%") {
		t.Errorf("%+v %+v", online, offline)
	}
	cancel()
	if err := wait(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// TestPresenceNames: names with escapes, as this server and older ones write them.
func TestPresenceNames(t *testing.T) {
	t.Parallel()
	s := startScript(t, answer{body: "1 a%250Ab\n0 a%0Ab\n1 100%25\n1 100%\n1 %41%7F%c2%85\n"})
	a := client.Admin{URL: s.URL}
	var got []string
	for e, err := range a.Presence(t.Context()) {
		if err != nil {
			break
		}
		got = append(got, e.Channel)
	}
	if want := []string{"a%0Ab", "a\nb", "100%", "100%", "%41\x7f\u0085"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
