package secure

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
)

// crowd is clients that are silent behind their hello, so that they hold their places until
// they are aborted.
func crowd(t *testing.T, handshakes int, f func(t *testing.T, s *site, starts func(client string) *mute)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(s *site) { s.settings.Handshakes = handshakes })
		hello := helloOf(t, s.clientConfig())
		var all []*mute
		f(t, s, func(client string) *mute {
			m := s.starts(client, hello)
			all = append(all, m)
			return m
		})
		for _, m := range all {
			m.Abort()
		}
		synctest.Wait()
		p, c := &s.places, s.Counters()
		if p.bytes != 0 || p.taken != 0 || len(p.origins) != 0 || p.turns.Len() != 0 || c.InFlight.Load() != 0 || c.Waiting.Load() != 0 {
			t.Errorf("when all have gone: %d bytes, %d places taken, %d addresses, %d turns, %d in flight, %d waiting, want none",
				p.bytes, p.taken, len(p.origins), p.turns.Len(), c.InFlight.Load(), c.Waiting.Load())
		}
	})
}

// placed counts those who have got a place: they were answered.
func placed(clients ...*mute) (n int) {
	synctest.Wait()
	for _, m := range clients {
		if len(m.sent) > 0 {
			n++
		}
	}
	return n
}

func TestCapAndShare(t *testing.T) {
	t.Parallel()
	for places, share := range map[int]int{1: 1, 2: 1, 3: 2, 8: 4} {
		crowd(t, places, func(t *testing.T, s *site, starts func(string) *mute) {
			var one, others []*mute
			for range 20 {
				one = append(one, starts("192.0.2.1"))
			}
			if n := placed(one...); n != share {
				t.Errorf("%d places: one address has got %d, want %d", places, n, share)
			}
			for i := range 20 {
				others = append(others, starts(fmt.Sprintf("192.0.2.%d", 2+i)))
			}
			if n := placed(others...); n != places-share {
				t.Errorf("%d places: others have got %d, want %d", places, n, places-share)
			}
			if c := s.Counters(); c.InFlight.Load() != int64(places) || c.Waiting.Load() != int64(40-places) {
				t.Errorf("%d places: %d in flight, %d waiting", places, c.InFlight.Load(), c.Waiting.Load())
			}
		})
	}
}

// TestTurns: a newcomer gets the next place but one for each other address that waits.
func TestTurns(t *testing.T) {
	t.Parallel()
	crowd(t, 4, func(t *testing.T, s *site, starts func(string) *mute) {
		var a, b []*mute
		for range 1000 {
			a, b = append(a, starts("192.0.2.1")), append(b, starts("192.0.2.2"))
		}
		newcomers := []*mute{starts("192.0.2.3"), starts("192.0.2.4")}
		if n := placed(newcomers...); n != 0 {
			t.Fatalf("%d newcomers have got a place of none", n)
		}
		a[0].Abort() // a may take one again, behind the newcomers
		if n := placed(newcomers[0]); n != 1 {
			t.Error("the first newcomer has not got the first place")
		}
		a[1].Abort()
		if n := placed(newcomers...); n != 2 || placed(a...) != 2 {
			t.Error("the second newcomer has not got the second place")
		}
		newcomers[0].Abort()
		newcomers[1].Abort()
		if n, m := placed(a...), placed(b...); n != 4 || m != 2 {
			t.Errorf("behind the newcomers the addresses had %d and %d places, want 4 and 2", n, m)
		}
	})
}

func TestAddressesOfOneNetwork(t *testing.T) {
	t.Parallel()
	cases := []struct {
		clients []string
		got     int // of 4 places, of which one client may have 2
	}{
		{[]string{"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3", "2001:db8::4"}, 2},
		{[]string{"2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1"}, 2},
		{[]string{"2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1"}, 4},
		{[]string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"}, 2},
		{[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, 3},
	}
	for _, c := range cases {
		crowd(t, 4, func(t *testing.T, s *site, starts func(string) *mute) {
			var all []*mute
			for _, client := range c.clients {
				all = append(all, starts(client))
			}
			if n := placed(all...); n != c.got {
				t.Errorf("%v have got %d places, want %d", c.clients, n, c.got)
			}
		})
	}
}

func TestLimitChanges(t *testing.T) {
	t.Parallel()
	crowd(t, 2, func(t *testing.T, s *site, starts func(string) *mute) {
		var a, b []*mute
		for range 10 {
			a, b = append(a, starts("192.0.2.1")), append(b, starts("192.0.2.2"))
		}
		for _, want := range []struct{ limit, a, b int }{{2, 1, 1}, {6, 3, 3}, {2, 3, 3}} {
			s.settings.Handshakes = want.limit
			s.Configure(s.load())
			if n, m := placed(a...), placed(b...); n != want.a || m != want.b {
				t.Errorf("%d places: %d and %d have got one, want %d and %d", want.limit, n, m, want.a, want.b)
			}
		}
		for _, m := range []*mute{a[0], a[1], b[0], b[1]} {
			m.Abort()
		}
		if n, m := placed(a...), placed(b...); n != 3 || m != 3 {
			t.Errorf("%d and %d have got a place while as many as the new limit were in flight, want 3 and 3", n, m)
		}
		a[2].Abort()
		if n, m := placed(a...), placed(b...); n != 4 || m != 3 {
			t.Errorf("%d and %d have got a place when one was free again, want 4 and 3", n, m)
		}
	})
}

// TestPlacesAtRandom: no more than the limit and the share, no place is left free that
// somebody may take, and nobody waits longer than one turn of each other address.
func TestPlacesAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit := 1 + r.IntN(6)
		crowd(t, limit, func(t *testing.T, s *site, starts func(string) *mute) {
			var all []*mute
			for step := range 150 {
				if len(all) == 0 || r.IntN(5) > 1 {
					all = append(all, starts(fmt.Sprintf("192.0.2.%d", r.IntN(5))))
				} else {
					i := r.IntN(len(all))
					all[i].Abort()
					all = append(all[:i], all[i+1:]...)
				}
				synctest.Wait()
				if err := s.places.consistent(); err != nil {
					t.Fatalf("seed %d, step %d, %d places: %v", seed, step, limit, err)
				}
			}
		})
	}
}

func (p *places) consistent() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken, bytes := 0, 0
	for addr, o := range p.origins {
		taken += o.taken
		bytes += o.bytes
		waiting := 0
		for e := o.waiting.Front(); e != nil; e = e.Next() {
			waiting += e.Value.(*Handshake).ticket.bytes
		}
		if waiting != o.bytes || waiting > 0 != (o.ranked != nil) {
			return fmt.Errorf("those of %v who wait hold %d bytes, counted %d, in a rank: %v", addr, waiting, o.bytes, o.ranked != nil)
		}
		may := o.waiting.Len() > 0 && o.taken < p.share
		switch {
		case o.taken > p.share:
			return fmt.Errorf("%v has %d places, its share is %d", addr, o.taken, p.share)
		case o.taken == 0 && o.waiting.Len() == 0:
			return fmt.Errorf("%v is kept for nothing", addr)
		case may != (o.turn != nil):
			return fmt.Errorf("%v has %d places, %d waiting, in the line: %v", addr, o.taken, o.waiting.Len(), o.turn != nil)
		case may && p.taken < p.limit:
			return fmt.Errorf("%v waits although only %d of %d places are taken", addr, p.taken, p.limit)
		}
	}
	if taken != p.taken || taken > p.limit || bytes != p.bytes || p.counters.InFlight.Load() != int64(taken) {
		return fmt.Errorf("taken %d, counted %d of %d, in flight %d; bytes %d, counted %d", taken, p.taken, p.limit, p.counters.InFlight.Load(), bytes, p.bytes)
	}
	return nil
}

// hugeHello is a record as large as can be, which waits for a place like any other.
var hugeHello = append([]byte{handshakeRecord, 3, 1, 0x40, 0}, make([]byte, 1<<14)...)

// TestBusyForSome: however much those of some addresses have waiting, those of others may wait
// too. The last of the greedy ones are told that it was too much.
func TestBusyForSome(t *testing.T) {
	t.Parallel()
	crowd(t, 1, func(t *testing.T, s *site, starts func(string) *mute) {
		starts("192.0.2.1")
		var greedy []*mute
		for i := range byte(8) {
			for range maxWaiting / len(hugeHello) / 4 {
				m := new(mute)
				h, err := s.Start(netip.AddrFrom4([4]byte{198, 51, 100, i}), hugeHello[:len(hugeHello):len(hugeHello)], m)
				if err != nil {
					break
				}
				m.Handshake = h
				greedy = append(greedy, m)
			}
		}
		defer func() {
			for _, m := range greedy {
				m.Abort()
			}
		}()
		var modest []*mute
		for i := range 1000 {
			modest = append(modest, starts(fmt.Sprintf("203.0.113.%d", i%250))) // which fails the test if that is refused
		}
		most, refused := 0, 0
		for _, o := range s.places.origins {
			most = max(most, o.bytes)
		}
		for _, m := range greedy {
			if m.result != nil && errors.Is(m.result.Err, ErrBusy) {
				refused++
			}
		}
		if s.places.bytes > maxWaiting || most > maxWaiting/4 {
			t.Errorf("%d bytes wait, %d of them of one address", s.places.bytes, most)
		}
		if n := s.Counters().Done[Busy].Load(); refused == 0 || uint64(refused) > n {
			t.Errorf("%d of the greedy ones were told to go, %d are counted", refused, n)
		}
		if err := modest[999].Feed(make([]byte, 1000)); err != nil {
			t.Errorf("more bytes of a modest one: %v", err)
		}
		for _, m := range modest {
			if m.result != nil {
				t.Fatalf("a modest one was told %v", m.result.Err)
			}
		}
		if err := s.places.consistent(); err != nil {
			t.Error(err)
		}
	})
}

// TestBusy: what waits is limited by its bytes, those that come later included.
func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(s *site) { s.settings.Handshakes = 1 })
		all := []*mute{s.starts("192.0.2.1", helloOf(t, s.clientConfig()))}
		hello := hugeHello
		n := maxWaiting / (len(hello) + waitingCost)
		for range n {
			m := new(mute)
			var err error
			if m.Handshake, err = s.Start(localhost, hello[:len(hello):len(hello)], m); err != nil {
				t.Fatalf("%d of %d wait: %v", len(all)-1, n, err)
			}
			all = append(all, m)
		}
		if _, err := s.Start(localhost, hello, new(mute)); !errors.Is(err, ErrBusy) || s.Counters().Done[Busy].Load() != 1 {
			t.Errorf("one too many: %v, counted %d times, want %v", err, s.Counters().Done[Busy].Load(), ErrBusy)
		}
		if err := all[1].Feed(make([]byte, len(hello)+waitingCost)); !errors.Is(err, ErrBusy) {
			t.Errorf("more bytes of one that waits: %v, want %v", err, ErrBusy)
		}
		all[1].Abort()
		if err := all[2].Feed(make([]byte, len(hello))); err != nil {
			t.Errorf("more bytes when another has gone: %v", err)
		}
		for _, m := range all {
			m.Abort()
		}
		synctest.Wait()
		if s.places.bytes != 0 || len(s.places.origins) != 0 {
			t.Errorf("when all have gone: %d bytes, %d addresses, want none", s.places.bytes, len(s.places.origins))
		}
	})
}

// TestFloodOfTheWaiting: what those hold who wait for a place is given back, however they end.
func TestFloodOfTheWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(s *site) { s.settings.Handshakes = 1 })
		hello := helloOf(t, s.clientConfig())
		first := s.starts("192.0.2.1", hello)
		aborted, refused := s.starts("192.0.2.2", hello), s.starts("192.0.2.2", hello)
		for _, m := range []*mute{aborted, refused} {
			if err := m.Feed(make([]byte, 2*maxUnread)); err != nil {
				t.Fatal(err)
			}
		}
		if s.beyond.Load() == 0 {
			t.Fatal("nothing is counted")
		}
		aborted.Abort()
		refuse([]*Handshake{refused.Handshake})
		if n := s.beyond.Load(); n != 0 {
			t.Errorf("%d bytes are counted when both have gone", n)
		}
		refused.Abort()
		first.Abort()
		synctest.Wait()
	})
}

// TestFlood: a client may always have 64 KiB unread, and more if others do not; one alone takes
// an eighth of what there is for all.
func TestFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		for range cap(s.computing.slots) { // nothing is read
			s.computing.slots <- struct{}{}
		}
		hello := helloOf(t, s.clientConfig())
		chunk := make([]byte, maxUnread/2)
		feeds := func(m *mute) (fed int) {
			for m.Feed(chunk) == nil {
				if fed += len(chunk); fed > 2*maxBeyond {
					t.Fatalf("%d bytes are kept", fed)
				}
			}
			return fed
		}
		modest := s.starts("192.0.2.2", hello)
		var greedy []*mute
		for i := range maxBeyond / maxBeyondOne {
			m := s.starts(fmt.Sprintf("198.51.100.%d", i), hello)
			greedy = append(greedy, m)
			if fed := feeds(m); fed < maxBeyondOne || fed > maxBeyondOne+maxUnread {
				t.Errorf("client %d has %d bytes kept, want %d", i, fed, maxBeyondOne)
			}
			if i == 0 && s.beyond.Load() > maxBeyondOne {
				t.Errorf("one client takes %d bytes of what is for all", s.beyond.Load())
			}
		}
		greedy = append(greedy, s.starts("192.0.2.1", hello))
		feeds(greedy[len(greedy)-1]) // what is left
		if err := modest.Feed(chunk); err != nil {
			t.Errorf("less than 64 KiB of another client: %v", err)
		}
		if err := modest.Feed(make([]byte, maxUnread)); !errors.Is(err, ErrFlood) {
			t.Errorf("more than 64 KiB of another client: %v, want %v", err, ErrFlood)
		}
		for _, m := range greedy {
			m.Abort()
		}
		synctest.Wait()
		if err := modest.Feed(chunk); err != nil {
			t.Errorf("more than 64 KiB when the others have gone: %v", err)
		}
		modest.Abort()
		synctest.Wait()
		if n := s.beyond.Load(); n != 0 {
			t.Errorf("%d bytes are counted when all have gone", n)
		}
	})
}
