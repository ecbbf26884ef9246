package reactor

import (
	"fmt"
	"net"
	"testing"

	"icomet/server/servertest"
)

// TestPortTakenMeanwhile takes the probed port before the engine binds it: a port that
// was left to the system becomes another one, a configured one is refused in words.
func TestPortTakenMeanwhile(t *testing.T) {
	t.Parallel()
	r, _ := bareReactor(t, testSettings(), 2, subscribers(), true)
	taken := takePort(t, r)
	defer taken.Close()
	ended := make(chan error, 1)
	go func() { ended <- r.Run() }()
	select {
	case <-r.Ready():
	case err := <-ended:
		t.Fatalf("Run returns %v", err)
	}
	if got := r.FrontAddr().String(); got == taken.Addr().String() {
		t.Errorf("it says that it listens on %s, which is another's", got)
	}
	c, err := servertest.Dial(r.FrontAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	(&client{c, t}).get("/ping").wantAnswer(200, "ping\n")
	r.Shutdown()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	fixed, _ := bareReactor(t, testSettings(), 2, subscribers(), true)
	addrs := fixed.listen.Load()
	addrs.list[0].Text = addrs.list[0].bound.String()
	other := takePort(t, fixed)
	defer other.Close()
	want := "front.listen " + other.Addr().String() + ": bind: address already in use"
	if err := fixed.Run(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// takePort listens on r's front port in its place.
func takePort(t *testing.T, r *Reactor) net.Listener {
	t.Helper()
	addrs := r.listen.Load()
	addrs.Release()
	ln, err := net.Listen("tcp4", addrs.list[0].bound.String())
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// TestKernelWithoutIPv6: what was bound to IPv4 alone, because there is no IPv6, is
// opened so; any other address as it was written.
func TestKernelWithoutIPv6(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		address string
		bound   net.IP
		want    string
	}{
		{":8100", net.IPv4zero, "tcp4://0.0.0.0:8100"},
		{":8100", net.IPv6zero, "tcp://:8100"},
		{"0.0.0.0:8100", net.IPv4zero, "tcp://0.0.0.0:8100"},
		{"[::1]:8100", net.IPv6loopback, "tcp://[::1]:8100"},
	} {
		if got := gnetAddr(tc.address, &net.TCPAddr{IP: tc.bound, Port: 8100}); got != tc.want {
			t.Errorf("%s bound to %v: %s, want %s", tc.address, tc.bound, got, tc.want)
		}
	}
	r, _ := bareReactor(t, testSettings(), 2, subscribers(), true)
	addrs := r.listen.Load()
	front := &addrs.list[0]
	front.Text, front.bound = ":0", &net.TCPAddr{IP: net.IPv4zero, Port: front.bound.Port}
	ended := make(chan error, 1)
	go func() { ended <- r.Run() }()
	select {
	case <-r.Ready():
	case err := <-ended:
		t.Fatalf("Run returns %v", err)
	}
	dial(t, fmt.Sprint("127.0.0.1:", front.bound.Port)).get("/ping").wantAnswer(200, "ping\n")
	r.Shutdown()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
