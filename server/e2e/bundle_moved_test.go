package e2e

import (
	"testing"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/servertest"
)

// TestRenamedIsRecovered: a channel that has only got another epoch has lost nothing,
// whether it is the only one of a connection or one of several.
func TestRenamedIsRecovered(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"", "&cname=b&seq=1&epoch=00000007"} {
		for _, kind := range servertest.AllKinds {
			s, e := startStore(t)
			e.install("a", 1, 3)
			e.install("b", 1, 1)
			c := s.ask(kind, "cname=a&seq=3&epoch=00000007"+more)
			s.waitSubscribers("a", 1)
			e.hub.Uncopy(e.copies["a"], channel.Renamed(3, 8))
			f := e.next(t)
			e.installAs("a", 8, 1, 3)
			f.done.Done(channel.Result{})
			c.until(`"type":"position","cname":"a","seq":3,"content":"","epoch":"00000008","recovered":`)
			c.until(`true,"lost":0}`)
			c.Close()
			s.waitSubscribers("a", 0)
		}
	}
}

// TestParkedCountsNoClient: a request that is refused when the engine has fetched what it
// needs leaves no count of a proxy's client behind.
func TestParkedCountsNoClient(t *testing.T) {
	t.Parallel()
	s, e := startStoreWith(t, "front.trusted_proxies=127.0.0.1", "limits.connections_per_ip=1")
	c := dial(t, s.front)
	c.sendf("GET /stream?cname=a&cname=b HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
	f := e.nextFetches(t, "a", "b")
	s.reload(func(c *config.Config) { c.Limits.ChannelsPerConnection = 1 })
	for _, one := range f {
		e.install(one.name, 1, 1)
		one.done.Done(channel.Result{})
	}
	if status, body := c.response(); status != 400 {
		t.Fatalf("%d %s", status, body)
	}
	s.wantCounts("")
}
