package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"icomet/channel"
)

// limits are large enough for what the tests store.
func limits() channel.Limits {
	return channel.Limits{MaxChannels: 1 << 20, MaxSubscribers: 100, BufferSize: 10, Timeout: 30 * time.Second}
}

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "channels"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func publish(t testing.TB, hub *channel.Hub, p channel.Publication) channel.Published {
	t.Helper()
	out, err := hub.Publish(&p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sink takes messages and forgets them.
type sink struct{}

func (sink) Push(*channel.Channel, channel.Message) bool { return false }
func (sink) Wake()                                       {}
func (sink) Full() bool                                  { return false }
func (sink) HalfFull() bool                              { return false }
func (sink) Busy() bool                                  { return false }

// variedHub has a channel of each kind that matters.
func variedHub(t testing.TB) *channel.Hub {
	t.Helper()
	hub := channel.NewHub(limits())
	hub.AddSink(sink{})
	for i := range 15 {
		hub.Tick(time.Duration(i) * time.Second)
		publish(t, hub, channel.Publication{Name: []byte("full"), Content: fmt.Sprint("m", i), ID: fmt.Sprint("id", i)})
		publish(t, hub, channel.Publication{Name: []byte("cleared"), Content: "x", ID: fmt.Sprint("c", i)})
	}
	publish(t, hub, channel.Publication{Name: []byte("empty"), Content: ""})
	publish(t, hub, channel.Publication{Name: []byte(strings.Repeat("ü", 127) + "."), Content: "the longest name"})
	publish(t, hub, channel.Publication{Name: []byte("ended"), Content: "the last one", End: true})
	if _, err := hub.Sign([]byte("signed"), 20*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Join(&channel.Join{Name: []byte("subscribed")}, nil); err != nil {
		t.Fatal(err)
	}
	pause := func() bool { return true }
	for i := range 300 { // more than have a number in the file
		if err := hub.Broadcast(fmt.Sprintf("a broadcast to all, number %d", i/2*2), "", pause); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := hub.Clear([]byte("cleared")); err != nil {
		t.Fatal(err)
	}
	publish(t, hub, channel.Publication{Name: []byte("long"), Content: strings.Repeat("0123456789", maxBlock/4)})
	publish(t, hub, channel.Publication{Name: []byte("full"), Content: "behind the broadcasts"})
	return hub
}

// states are all channels of a hub, by name, with copies of what they point to.
func states(hub *channel.Hub) map[string]channel.State {
	all := map[string]channel.State{}
	_ = hub.States(func(s *channel.State) error {
		c := *s
		c.Messages = append([]channel.Message{}, s.Messages...)
		c.IDs = append([]channel.MessageID{}, s.IDs...)
		all[s.Name] = c
		return nil
	})
	return all
}

// carry saves a hub and loads it into another one, some time later.
func carry(t testing.TB, hub *channel.Hub, next channel.Limits, away time.Duration) (*channel.Hub, Loaded) {
	t.Helper()
	s := open(t)
	now := time.Now()
	saved, err := s.Save(hub, now)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Size() != saved.Size || info.Mode() != 0o600 {
		t.Errorf("%v, %v; said to have %d bytes", info, err, saved.Size)
	}
	restored := channel.NewHub(next)
	restored.AddSink(sink{})
	l, err := s.Load(restored, now.Add(away))
	if err != nil || l.Counts != saved.Counts || !l.Taken.Equal(now) {
		t.Errorf("saved %+v, loaded %+v, %v", saved, l, err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
	return restored, l
}

// TestAllIsCarried: every field of every kind of channel is afterwards as it was.
func TestAllIsCarried(t *testing.T) {
	t.Parallel()
	hub := variedHub(t)
	before := states(hub)
	restored, l := carry(t, hub, limits(), 0)
	if after := states(restored); !reflect.DeepEqual(before, after) {
		for name := range before {
			if b, a := before[name], after[name]; !reflect.DeepEqual(a, b) {
				t.Errorf("%.20s\n was %.500v\n is %.500v", name, b, a)
			}
		}
		t.Errorf("%d channels were there, %d are", len(before), len(after))
	}
	if l.Expired+l.TooMany+l.Trimmed > 0 || l.Restored != l.Counts || l.Channels != len(before) || len(before) != 8 {
		t.Errorf("%+v of %d channels", l, len(before))
	}
	// What is written again is the same.
	again, _ := carry(t, restored, limits(), 0)
	if !reflect.DeepEqual(before, states(again)) {
		t.Error("carried twice, it is not the same")
	}
}

// TestClientsAreRecovered: who comes back with a position is told the truth, publishers that
// repeat an id do not double it, an ended channel stays ended, a token stays valid.
func TestClientsAreRecovered(t *testing.T) {
	t.Parallel()
	hub := variedHub(t)
	old := states(hub)
	signed, _ := hub.Sign([]byte("signed"), time.Second)
	restored, _ := carry(t, hub, limits(), 10*time.Second)
	next := old["full"].Next
	for _, c := range []struct {
		name  string
		epoch uint32
		since int64
		want  channel.Recovery
	}{
		{"full", old["full"].Epoch, next, channel.Recovery{Recovered: true}},
		{"full", old["full"].Epoch, next - 10, channel.Recovery{Recovered: true}},
		{"full", old["full"].Epoch, next - 12, channel.Recovery{Lost: 2, Reason: channel.ReasonTrimmed}},
		{"full", old["full"].Epoch, next + 1, channel.Recovery{Lost: channel.LostUnknown, Reason: channel.ReasonAhead}},
		{"full", old["full"].Epoch + 1, next, channel.Recovery{Lost: channel.LostUnknown, Reason: channel.ReasonEpoch}},
		{"cleared", old["cleared"].Epoch, old["cleared"].Next, channel.Recovery{Recovered: true}},
	} {
		j, err := restored.Join(&channel.Join{Name: []byte(c.name), Since: c.since, Epoch: c.epoch, Position: true}, nil)
		if err != nil || j.Recovery != c.want {
			t.Errorf("%s from %08x-%d: %+v, %v, want %+v", c.name, c.epoch, c.since, j.Recovery, err, c.want)
		}
	}
	id := publish(t, restored, channel.Publication{Name: []byte("empty"), Content: "new", ID: "new"})
	twice, _ := carry(t, restored, limits(), 0)
	if out := publish(t, twice, channel.Publication{Name: []byte("empty"), Content: "new", ID: "new"}); !out.Duplicate || out.Seq != id.Seq || out.Epoch != id.Epoch {
		t.Errorf("a repeated id: %+v, first %+v", out, id)
	}
	if _, err := restored.Publish(&channel.Publication{Name: []byte("ended"), Content: "more"}); !errors.Is(err, channel.ErrEnded) {
		t.Errorf("to the ended channel: %v", err)
	}
	if again, err := restored.Sign([]byte("signed"), time.Second); err != nil || again.Token != signed.Token {
		t.Errorf("signed again: %+v, %v, was %+v", again, err, signed)
	}
}

// TestTimeCounts: lives and messages grow older while no server runs.
func TestTimeCounts(t *testing.T) {
	t.Parallel()
	l := limits()
	l.Classes = []channel.Class{{Match: "ttl*", BufferSize: 10, BufferTTL: 50 * time.Second, Timeout: time.Hour, MaxSubscribers: 1}}
	build := func() *channel.Hub {
		hub := channel.NewHub(l)
		for i := range 4 {
			hub.Tick(time.Duration(i) * 10 * time.Second)
			publish(t, hub, channel.Publication{Name: []byte("ttl"), Content: fmt.Sprint(i)})
		}
		publish(t, hub, channel.Publication{Name: []byte("short"), Content: "x"})
		return hub
	}
	for _, c := range []struct {
		away     time.Duration
		short    bool
		messages int
	}{
		{-time.Hour, true, 4}, // the clock was set back: no time has passed
		{0, true, 4},
		{25 * time.Second, true, 3},
		{29 * time.Second, true, 3},
		{35 * time.Second, false, 2},
		{time.Minute, false, 0},
	} {
		restored, loaded := carry(t, build(), l, c.away)
		if got := restored.Alive([]byte("short")); got != c.short {
			t.Errorf("after %v, the short life is there: %v", c.away, got)
		}
		brief, ms, _ := restored.Look([]byte("ttl"), 0, 10, nil)
		if len(ms) != c.messages || brief.Next != 5 || loaded.Trimmed != 4-c.messages || loaded.ClockBack != max(0, -c.away) || loaded.Away != max(0, c.away) {
			t.Errorf("after %v: %+v, %d messages, want %d; %+v", c.away, brief, len(ms), c.messages, loaded)
		}
		// And from now on as ever.
		restored.Tick(31 * time.Second)
		restored.Tick(32 * time.Second)
		if restored.Alive([]byte("short")) || !restored.Alive([]byte("ttl")) {
			t.Errorf("after %v and 32 s: short %v, ttl %v", c.away, restored.Alive([]byte("short")), restored.Alive([]byte("ttl")))
		}
	}
	if restored, loaded := carry(t, build(), l, 10*365*24*time.Hour); restored.Channels() != 0 || loaded.Expired != 2 {
		t.Errorf("after ten years: %d channels, %+v", restored.Channels(), loaded)
	}
}

// TestManyRestarts: hub time does not add up, however often and long.
func TestManyRestarts(t *testing.T) {
	t.Parallel()
	hub := channel.NewHub(limits())
	if _, err := hub.Sign([]byte("a"), 30*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	publish(t, hub, channel.Publication{Name: []byte("a"), Content: "x"})
	for range 50 {
		hub, _ = carry(t, hub, limits(), 24*time.Hour)
		if _, err := hub.Sign([]byte("a"), 30*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if b, ms, _ := hub.Look([]byte("a"), 0, 10, nil); b.Next != 2 || len(ms) != 1 || b.TimeLeft < 30*24*time.Hour {
			t.Fatalf("%+v %v", b, ms)
		}
	}
	if b, _, _ := hub.Look([]byte("a"), 0, 10, nil); b.OldestAge < 49*24*time.Hour || b.OldestAge > 51*24*time.Hour {
		t.Errorf("the message is %v old", b.OldestAge)
	}
}

// TestLimitsApply: what the limits of the new process do not allow is left out, and counted.
func TestLimitsApply(t *testing.T) {
	t.Parallel()
	hub := channel.NewHub(limits())
	for i := range 20 {
		for range 8 {
			publish(t, hub, channel.Publication{Name: fmt.Append(nil, i), Content: "ten  bytes"})
		}
	}
	next := limits()
	next.MaxChannels, next.BufferSize = 15, 5
	restored, l := carry(t, hub, next, 0)
	if restored.Channels() != 15 || l.TooMany != 5 || l.Trimmed != 15*3 || l.Restored != (Counts{15, 15 * 5, 15 * 50}) {
		t.Errorf("%d channels, %+v", restored.Channels(), l)
	}
	next = limits()
	next.Classes = []channel.Class{
		{Match: "1?", BufferSize: 10, BufferBytes: 35, Timeout: time.Hour, MaxSubscribers: 1},
		{Match: "2", Timeout: time.Hour, MaxSubscribers: 1},
		{Match: "3", BufferSize: 10, BufferBytes: 5, Timeout: time.Hour, MaxSubscribers: 1},
	}
	restored, l = carry(t, hub, next, 0)
	for name, want := range map[string]int{"10": 3, "2": 0, "3": 1, "4": 8} {
		b, ms, _ := restored.Look([]byte(name), 0, 10, nil)
		if len(ms) != want || b.Next != 9 || want > 0 && ms[len(ms)-1].Seq != 8 {
			t.Errorf("%s: %+v, %v, want %d messages", name, b, ms, want)
		}
	}
	if l.Trimmed != 10*5+8+7 {
		t.Errorf("%+v", l)
	}
	// A full hub frees and creates as ever.
	next = limits()
	next.MaxChannels = 20
	restored, _ = carry(t, hub, next, 0)
	if _, err := restored.Publish(&channel.Publication{Name: []byte("new"), Content: "x"}); !errors.Is(err, channel.ErrTooManyChannels) {
		t.Error(err)
	}
	if _, err := restored.Close([]byte("4")); err != nil {
		t.Error(err)
	}
	publish(t, restored, channel.Publication{Name: []byte("new"), Content: "x"})
}

// TestNoEpochComesBack: through any number of processes, no name gets an epoch twice.
func TestNoEpochComesBack(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	hub := channel.NewHub(limits())
	for generation := range 20 {
		for life := range 5 {
			for i := range 100 {
				name := fmt.Append(nil, i)
				fresh := !hub.Alive(name)
				out := publish(t, hub, channel.Publication{Name: name, Content: "x"})
				key := fmt.Sprintf("%s-%08x", name, out.Epoch)
				if fresh == seen[key] {
					t.Fatalf("generation %d, life %d: %s is new: %v, was seen: %v", generation, life, key, fresh, seen[key])
				}
				seen[key] = true
				if i%3 > 0 || life < 4 {
					if _, err := hub.Close(name); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		old := hub.Lives()
		hub, _ = carry(t, hub, limits(), 0)
		if next := hub.Lives(); next != old {
			t.Fatalf("lives %+v, then %+v", old, next)
		}
	}
}

// TestSharedContents: a broadcast is in the file once, and in memory afterwards too.
func TestSharedContents(t *testing.T) {
	t.Parallel()
	hub := channel.NewHub(limits())
	for i := range 1000 {
		publish(t, hub, channel.Publication{Name: fmt.Append(nil, i), Content: "x"})
	}
	text := strings.Repeat("to all ", 1000)
	if err := hub.Broadcast(text, "", func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	s := open(t)
	saved, err := s.Save(hub, time.Now())
	if err != nil || saved.Size > 100_000 || saved.Content != int64(1000*(1+len(text))) {
		t.Errorf("%+v, %v", saved, err)
	}
	restored := channel.NewHub(limits())
	if _, err := s.Load(restored, time.Now()); err != nil {
		t.Fatal(err)
	}
	where := map[*byte]bool{}
	for name, state := range states(restored) {
		m := state.Messages[1]
		if m.Content != text || m.Type != channel.Broadcast {
			t.Fatalf("%s has %.50v", name, m)
		}
		where[unsafe.StringData(m.Content)] = true
	}
	if len(where) != 1 {
		t.Errorf("the content is in %d places", len(where))
	}
}
