package torture

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"icomet/server/servertest"
)

// inTurns lets some workers share n tasks.
func inTurns(workers, n int, f func(i int) error) error {
	var next atomic.Int64
	return errorsOf(workers, func(int) error {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			if err := f(i); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		return nil
	})
}

// TestResetStorm: connections that come and are reset at any moment of their life
// leave no descriptor, and a healthy channel goes on.
func TestResetStorm(t *testing.T) {
	t.Parallel()
	d := start(t, servertest.PlainBinary, "", "FRONT_CHANNEL_TIMEOUT=1")
	p := d.newProbe()
	_ = d.stats() // opens the administrator's connection
	before := d.descriptors()
	requests := []string{"", "GET /stre", "BAD\r\n\r\n", "GET /sse?cname=storm&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /poll?cname=storm HTTP/1.1\r\nHost: localhost\r\n\r\nGET /poll?cname=storm HT",
		"GET /stream?cname=storm&cname=storm2&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /ws?cname=storm HTTP/1.1\r\nHost: localhost\r\n" + servertest.WebSocketFields + "\r\n\x81"}
	over := make(chan error, 1)
	var ended atomic.Bool
	go func() {
		err := inTurns(20, sized(2000, 50000), func(i int) error {
			nc, err := dial(d.front, 0)
			if err != nil {
				return err
			}
			_, _ = io.WriteString(nc, requests[i%len(requests)])
			if i%3 == 0 {
				reset(nc)
				return nil
			}
			return nc.Close()
		})
		ended.Store(true)
		over <- err
	}()
	took, err := p.run(func(n int) bool { return n > 10 && ended.Load() })
	if err := <-over; err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatalf("the healthy channel: %v", err)
	}
	t.Logf("p99 of a healthy channel %v", p99(took))
	d.waitStats(patience, func(s stats) error {
		if n := d.descriptors(); n > before || s.Connections.Front != 1 || s.Subscribers != 1 {
			return fmt.Errorf("%d descriptors, %d before; %d connections, %d subscribers", n, before, s.Connections.Front, s.Subscribers)
		}
		return nil
	})
}

// TestGarbageAfterSubscribing: who sends more than a request's head while its response
// is open is cut; the others of the channel get everything.
func TestGarbageAfterSubscribing(t *testing.T) {
	t.Parallel()
	n := sized(50, 2000)
	d := start(t, servertest.PlainBinary, "")
	p := d.newProbe()
	for _, garbage := range []string{strings.Repeat("\x00\xff garbage", 10000), strings.Repeat("GET / HTTP/1.1\r\n", 5000)} {
		bad := d.hoard(n, 0, p.cname)
		d.waitSubscribers(n + 1)
		if err := errorsOf(n, func(i int) error {
			_, _ = io.WriteString(bad[i], garbage) // it may be cut before all has gone
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.run(func(n int) bool { return n > 20 }); err != nil {
			t.Fatalf("the healthy channel: %v", err)
		}
		d.waitSubscribers(1)
	}
	if got := d.stats().Closed["pipelined_input"]; got != 2*n {
		t.Errorf("%d are counted, want %d", got, 2*n)
	}
}

// TestHugeHeaders: a megabyte of header is refused at the limit, for many at once.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	n := sized(50, 1000)
	d := start(t, servertest.PlainBinary, "")
	base, stop := d.rss(), d.watchRSS()
	const get = "GET /stream?cname="
	for _, tc := range []struct{ status, head string }{
		{"HTTP/1.1 431 ", get + "a HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", mib) + "\r\n\r\n"},
		{"HTTP/1.1 431 ", get + "a HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: y\r\n", mib/6) + "\r\n"},
		{"HTTP/1.1 414 ", get + strings.Repeat("x", mib) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		{"HTTP/1.1 501 ", strings.Repeat("X", mib) + " / HTTP/1.1\r\n\r\n"}, // no method is that long
	} {
		if err := errorsOf(n, func(int) error {
			answer, err := exchange(d.front, tc.head, patience)
			if !strings.HasPrefix(answer, tc.status) {
				return fmt.Errorf("got %.60q, %v, want %s", answer, err, tc.status)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	if most := stop() - base; most > int64(n)*64<<10+24*mib {
		t.Errorf("%d MiB for %d at once", most/mib, n)
	}
}

// TestManyNames: one address asks for very many channels.
func TestManyNames(t *testing.T) {
	t.Parallel()
	const room = 500
	n := sized(5000, 100000)
	d := start(t, servertest.PlainBinary, "", fmt.Sprint("FRONT_MAX_CHANNELS=", room))
	base, stop := d.rss(), d.watchRSS()
	made, err := d.askNames(n)
	if err != nil {
		t.Fatal(err)
	}
	if most := stop() - base; made["next_seq"] != room || made["429"] != n-room || most > 24*mib {
		t.Errorf("answers %v, want %d channels and %d refusals; %d MiB", made, room, n-room, most/mib)
	}
	if s := d.stats(); s.Channels != room || s.Refused["too_many_channels"] != n-room {
		t.Errorf("%d channels, %v refused", s.Channels, s.Refused)
	}

	d = start(t, servertest.PlainBinary, "", "FRONT_CREATE_ON_SUBSCRIBE=false")
	d.push("n0", "x")
	if made, err = d.askNames(n / 10); err != nil || made["next_seq"] != 1 || made["401"] != n/10-1 {
		t.Errorf("without create_on_subscribe: %v, %v", made, err)
	}
	if s := d.stats(); s.Channels > 1 {
		t.Errorf("%d channels", s.Channels)
	}
}

// askNames asks for n channels on one connection and counts the types of the answers.
func (d *daemon) askNames(n int) (map[string]int, error) {
	nc, err := dial(d.front, 0)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	types := make(map[string]int)
	s := &stream{nc: nc, kind: "sub"}
	r := bufio.NewReader(nc)
	for i := range n {
		if i%500 == 0 { // more at once, and it would have to read meanwhile
			var batch strings.Builder
			for j := i; j < min(i+500, n); j++ {
				fmt.Fprintf(&batch, "GET /sub?cname=n%d HTTP/1.1\r\nHost: localhost\r\n\r\n", j)
			}
			if _, err := io.WriteString(nc, batch.String()); err != nil {
				return types, err
			}
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return types, err
		}
		s.body = bufio.NewReader(resp.Body)
		ms, err := s.read()
		if err != nil {
			return types, err
		}
		types[ms[0].Type]++
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	return types, nil
}

// TestManyFromOneAddress: over connections_per_ip a subscriber is told so in-band.
func TestManyFromOneAddress(t *testing.T) {
	t.Parallel()
	const room = 20
	d := start(t, servertest.PlainBinary, "", fmt.Sprint("LIMITS_CONNECTIONS_PER_IP=", room))
	var in []net.Conn
	for i := range sized(60, 1000) {
		s, err := subscribe(d.front, "stream", fmt.Sprint("n", i), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer s.nc.Close()
		if i < room {
			in = append(in, s.nc)
			continue
		}
		ms, err := s.read()
		if err != nil || ms[0].Type != "429" {
			t.Fatalf("connection %d gets %v, %v", i, ms, err)
		}
		if _, err := s.read(); err != io.EOF {
			t.Fatalf("after a 429: %v, want a clean end", err)
		}
	}
	d.waitSubscribers(len(in))
	if n := d.stats().Channels; n != room {
		t.Errorf("%d channels", n)
	}
	reset(in[0]) // makes room
	checkFor(t, patience, func() error {
		s, err := subscribe(d.front, "stream", "late", 0)
		if err != nil {
			return err
		}
		defer s.nc.Close()
		if ms, err := s.read(); err != nil || ms[0].Type != "next_seq" {
			return fmt.Errorf("%v, %v", ms, err)
		}
		return nil
	})
}

// TestBodiesNobodyReads: the front port has no call with a long body, so a body costs no
// memory there; behind it the connection goes on.
func TestBodiesNobodyReads(t *testing.T) {
	t.Parallel()
	n := sized(100, 1000)
	d := start(t, servertest.PlainBinary, "", "LIMITS_REQUEST_TIMEOUT=1m")
	before := d.rss()
	body := strings.Repeat("x", mib-1)
	all := make([]*servertest.Conn, n)
	err := inTurns(10, n, func(i int) (err error) {
		if all[i], err = servertest.Dial(d.front); err == nil {
			_, err = fmt.Fprintf(all[i], "POST /poll?cname=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", mib, body)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	d.waitStats(patience, func(s stats) error {
		if s.BytesIn < int64(n*len(body)) {
			return fmt.Errorf("%d bytes have been read", s.BytesIn)
		}
		return nil
	})
	if took := d.rss() - before; took > int64(n)*64<<10 {
		t.Errorf("%d bodies of 1 MiB take %d MiB", n, took/mib)
	}
	for _, c := range all {
		fmt.Fprint(c, "xGET /ping?cb= HTTP/1.1\r\nHost: localhost\r\n\r\n")
		for _, want := range []int{413, 200} {
			if status, text, err := c.Answer(); err != nil || status != want {
				t.Fatalf("got %d %q, %v, want %d", status, text, err, want)
			}
		}
		c.Close()
	}
}

// TestShortLives: subscribers that come and go, each on a channel of its own, leave
// no channel, no descriptor and little memory.
func TestShortLives(t *testing.T) {
	t.Parallel()
	d := start(t, servertest.PlainBinary, "", "FRONT_CHANNEL_TIMEOUT=1")
	_ = d.stats()
	base, before := d.rss(), d.descriptors()
	n := sized(2000, 20000)
	if err := inTurns(20, n, func(i int) error {
		s, err := subscribe(d.front, []string{"stream", "sse"}[i%2], fmt.Sprint("life", i), 0)
		if err != nil {
			return err
		}
		defer s.nc.Close()
		if i%3 == 0 {
			defer reset(s.nc)
		}
		_, err = s.read() // its next_seq
		return err
	}); err != nil {
		t.Fatal(err)
	}
	d.waitStats(patience, func(s stats) error {
		if fds := d.descriptors(); s.Channels != 0 || s.Connections.Front != 0 || fds > before {
			return fmt.Errorf("%d channels, %d connections, %d descriptors, %d before", s.Channels, s.Connections.Front, fds, before)
		}
		if more := d.rss() - base; more > 20*mib {
			return fmt.Errorf("%d MiB more than before", more/mib)
		}
		return nil
	})
	t.Logf("%d KiB more than before", (d.rss()-base)>>10)
}
