package reactor

import (
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
	addrs.frontAddr = addrs.front.String()
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
	ln, err := net.Listen("tcp4", addrs.front.String())
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
