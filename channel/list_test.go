package channel

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

func namesOf(h *Hub) (seen map[string]int) {
	seen = make(map[string]int)
	h.Walk(func(some []Brief) bool {
		for _, b := range some {
			seen[b.Name]++
		}
		return true
	})
	return seen
}

// TestWalk sees each channel once, whatever the size of the tables.
func TestWalk(t *testing.T) {
	h := NewHub(Limits{MaxChannels: 1 << 20, MaxSubscribers: 10, BufferSize: 10, Timeout: time.Hour})
	for n, names := 0, 0; n < 5000; n = 2*n + 1 {
		for ; names < n; names++ {
			if _, err := h.Publish(&Publication{Name: fmt.Append(nil, names), Content: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		seen := namesOf(h)
		if len(seen) != n {
			t.Errorf("%d channels of %d", len(seen), n)
		}
		for name, times := range seen {
			if times != 1 {
				t.Errorf("%s is seen %d times", name, times)
			}
		}
	}
}

// TestWalkWhileTablesChange: a channel that exists from beginning to end is seen, while
// the tables grow and shrink.
func TestWalkWhileTablesChange(t *testing.T) {
	h := NewHub(Limits{MaxChannels: 1 << 20, MaxSubscribers: 10, BufferSize: 1, Timeout: time.Hour})
	name := func(i int) []byte { return fmt.Append(nil, "stays", i) }
	for i := range 3000 {
		if _, err := h.Publish(&Publication{Name: name(i), Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]bool)
	others, growing := 0, true
	h.Walk(func(some []Brief) bool {
		for _, b := range some {
			seen[b.Name] = true
		}
		// Up to 100 channels a shard and down again, several times per walk.
		for range 600 {
			other := fmt.Append(nil, "comes and goes", others)
			if growing {
				_, _ = h.Publish(&Publication{Name: other, Content: "x"})
				others++
			} else {
				_, _ = h.Close(other)
				others--
			}
		}
		if others > 25000 || others <= 0 {
			growing = others <= 0
		}
		return true
	})
	for i := range 3000 {
		if !seen[string(name(i))] {
			t.Fatalf("%s is not seen", name(i))
		}
	}
}

// TestStepOverChangingTable: a cursor stays valid over every change of the table's size,
// at every position.
func TestStepOverChangingTable(t *testing.T) {
	for _, sizes := range [][2]int{{8, 16}, {16, 8}, {8, 64}, {64, 8}, {32, 32}} {
		for at := range sizes[0] {
			tb := &table{buckets: make([]*Channel, sizes[0])}
			all := make([]Channel, 200)
			for i := range all {
				all[i].hash = uint32(i) * shards
				tb.n++
				link := tb.at(all[i].hash)
				all[i].chain, *link = *link, &all[i]
			}
			seen := make(map[*Channel]bool)
			cursor, some := uint32(0), []*Channel(nil)
			for steps := 0; ; steps++ {
				if steps == at {
					tb.resize(sizes[1])
				}
				if some, cursor = tb.step(cursor, some); cursor == 0 {
					break
				}
			}
			for _, c := range some {
				seen[c] = true
			}
			if len(seen) != len(all) {
				t.Errorf("%v after %d steps: %d of %d", sizes, at, len(seen), len(all))
			}
			if sizes[0] <= sizes[1] && len(some) != len(all) {
				t.Errorf("%v after %d steps: %d channels, some of them twice", sizes, at, len(some))
			}
		}
	}
}

// TestLook: what it returns, and that it changes nothing.
func TestLook(t *testing.T) {
	h := NewHub(Limits{MaxChannels: 10, MaxSubscribers: 10, BufferSize: 5, Timeout: 10 * time.Second})
	if _, _, there := h.Look([]byte("a"), 0, 10, nil); there || h.Channels() != 0 {
		t.Error("a channel that is not there")
	}
	for i := range 7 {
		if _, err := h.Publish(&Publication{Name: []byte("a"), Content: fmt.Sprint(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	want := Brief{Name: "a", Next: 8, Stored: 5, Oldest: 3, TimeLeft: 10*time.Second + staleMS*time.Millisecond}
	for _, tc := range []struct {
		since int64
		limit int
		from  int64
	}{{0, 100, 3}, {4, 100, 4}, {4, 2, 6}, {8, 100, 8}, {99, 100, 8}, {0, 0, 8}} {
		b, ms, there := h.Look([]byte("a"), tc.since, tc.limit, nil)
		b.Hash, b.Epoch = 0, 0
		if !there || b != want {
			t.Errorf("%v: %+v, want %+v", tc, b, want)
		}
		var seqs, wanted []int64
		for _, m := range ms {
			seqs = append(seqs, m.Seq)
		}
		for seq := tc.from; seq < 8; seq++ {
			wanted = append(wanted, seq)
		}
		if !reflect.DeepEqual(seqs, wanted) {
			t.Errorf("%v: messages %v, want %v", tc, seqs, wanted)
		}
	}
	if h.Subscribers() != 0 {
		t.Error("who looks is counted")
	}
	h.Tick(11 * time.Second)
	if h.Channels() != 0 {
		t.Error("looking has kept the channel alive")
	}
}

// TestWalkHoldsNoLockForLong: however many channels there are, nobody waits 1 ms for a
// shard. On a busy machine a hold can take longer for other reasons, so it is tried
// again: the walk is at fault only if every try is slow.
func TestWalkHoldsNoLockForLong(t *testing.T) {
	h := NewHub(Limits{MaxChannels: 1 << 20, MaxSubscribers: 10, BufferSize: 1, Timeout: time.Hour})
	const channels = 200_000
	for i := range channels {
		c, err := h.obtain(fmt.Append(nil, "channel-", i))
		if err != nil {
			t.Fatal(err)
		}
		c.mu.Unlock()
	}
	seen, found := 0, []*Channel(nil)
	for i := range h.shards {
		for cursor, more := uint32(0), true; more; {
			next, tries := uint32(0), 0
			for took := time.Hour; took > time.Millisecond; tries++ {
				if tries == 50 {
					t.Fatalf("a hold of %d channels takes %v", len(found), took)
				}
				start := time.Now()
				found, next, more = h.walkShard(&h.shards[i], cursor, found[:0])
				took = time.Since(start)
			}
			if len(found) > 4*walkStep {
				t.Fatalf("%d channels under one lock", len(found))
			}
			cursor, seen = next, seen+len(found)
		}
	}
	if seen != channels {
		t.Errorf("%d channels are seen", seen)
	}
}
