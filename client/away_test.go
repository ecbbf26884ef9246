package client_test

import (
	"fmt"
	"strings"
	"testing"

	"icomet/client"
	"icomet/server/servertest"
)

// TestAway: what was published while the client was away comes later as long as the
// channel lives; when it was freed, the client is told.
func TestAway(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=2")
	proxy := servertest.NewProxy(t, s.Front)
	b := receive(t, &client.Subscriber{URL: proxy.URL, Channel: "a"})
	s.WaitSubscribers("a", 1)
	s.Push("a", "m1")
	b.want("m1")
	leave := func() {
		proxy.Freeze(true)
		proxy.Cut()
		s.WaitSubscribers("a", 0)
	}
	leave()
	s.Push("a", "meanwhile")
	proxy.Freeze(false)
	proxy.Cut()
	b.want("meanwhile")
	leave()
	s.CheckFor(servertest.Patience, func() error {
		// Not /check: a channel whose time is over can still be subscribed to until it is freed.
		if got := s.Call("/info"); !strings.Contains(got, `"channels": 0,`) {
			return fmt.Errorf("the channel lives: %s", got)
		}
		return nil
	})
	proxy.Freeze(false)
	proxy.Cut()
	s.WaitSubscribers("a", 1)
	s.Push("a", "new")
	if got := b.want("new")[0]; !got.Restarted {
		t.Errorf("got %+v", got)
	}
}
