package channel

import (
	"fmt"
	"slices"
	"testing"
)

// TestRing compares the ring with a plain slice after each push.
func TestRing(t *testing.T) {
	constant := func(n int) func(int) int { return func(int) int { return n } }
	for _, tc := range []struct {
		name  string
		limit func(push int) int
	}{
		{"1", constant(1)},
		{"2", constant(2)},
		{"3", constant(3)},
		{"8, a power of two", constant(8)},
		{"10, the default", constant(10)},
		{"never full", constant(1000)},
		{"shrinks", func(i int) int { return max(1, 20-i) }},
		{"shrinks at once", func(i int) int { return []int{50, 3}[i/60] }},
		{"shrinks while not full", func(i int) int { return []int{50, 6}[min(1, i/5)] }},
		{"grows", func(i int) int { return 1 + i }},
		{"grows when full and wrapped", func(i int) int { return []int{5, 11}[i/60] }},
		{"to and fro", func(i int) int { return 1 + (i*7)%13 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r ring
			var model []Message
			for i := range 120 {
				limit := tc.limit(i)
				m := Message{Seq: int64(i + 1), Content: fmt.Sprint(i)}
				r.drop(r.excess(len(m.Content), &Class{BufferSize: limit}))
				r.push(m, limit)
				model = append(model, m)
				model = model[max(0, len(model)-limit):]
				checkRing(t, &r, model, limit)
			}
		})
	}
}

func checkRing(t *testing.T, r *ring, model []Message, limit int) {
	t.Helper()
	if r.stored() != len(model) || len(r.buf) > max(limit, r.stored()) {
		t.Fatalf("%d messages in a buffer of %d, want %d and at most %d", r.n, len(r.buf), len(model), limit)
	}
	if r.stored()*2 < len(r.buf) && len(r.buf) > 1 {
		t.Fatalf("%d messages in a buffer of %d: more than doubled", r.n, len(r.buf))
	}
	if oldest, ok := r.oldest(); !ok || oldest != model[0].Seq {
		t.Fatalf("oldest %d %v, want %d", oldest, ok, model[0].Seq)
	}
	last := model[len(model)-1].Seq
	for seq := model[0].Seq - 3; seq <= last+3; seq++ {
		i := slices.IndexFunc(model, func(m Message) bool { return m.Seq >= seq })
		if i < 0 {
			i = len(model)
		}
		if got := r.since(seq, nil); !slices.Equal(got, model[i:]) {
			t.Fatalf("since %d: %v, want %v", seq, got, model[i:])
		}
	}
	// Dropped messages must not keep their content alive.
	held := 0
	for _, m := range r.buf {
		if m != (Message{}) {
			held++
		}
	}
	if held != len(model) {
		t.Fatalf("the buffer holds %d messages, want %d", held, len(model))
	}
}

func TestRingSinceAppends(t *testing.T) {
	var r ring
	r.push(Message{Seq: 7}, 4)
	if got := seqs(r.since(7, []Message{{Seq: 3}})); !slices.Equal(got, []int64{3, 7}) {
		t.Errorf("got %v, want what was there and then 7", got)
	}
}

func TestRingWithoutMessages(t *testing.T) {
	for name, r := range map[string]*ring{"nil": nil, "zero": new(ring)} {
		if got := r.since(1, nil); got != nil {
			t.Errorf("%s: since %v", name, got)
		}
		if _, ok := r.oldest(); ok {
			t.Errorf("%s: has an oldest message", name)
		}
	}
}
