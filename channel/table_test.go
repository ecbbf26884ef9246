package channel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestTable compares a table with a map over random additions and removals, with few
// different hashes so that chains are long, and reads the whole table after each step.
func TestTable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var tab table
	want := make(map[string]*Channel)
	for step := range 20_000 {
		name := fmt.Sprint(rnd.IntN(400))
		hash := uint32(len(name)) * shards // three different hashes
		if step%1000 > 500 && want[name] != nil || want[name] != nil && rnd.IntN(2) == 0 {
			tab.remove(want[name])
			delete(want, name)
		} else if want[name] == nil {
			c := newChannel(name, hash, 1, newClasses(small))
			tab.add(c)
			want[name] = c
		}
		if got := tab.find(hash, []byte(name)); got != want[name] {
			t.Fatalf("step %d: find(%s) = %v, want %v", step, name, got, want[name])
		}
		checkTable(t, &tab, want)
	}
	for name, c := range want {
		tab.remove(c)
		delete(want, name)
		checkTable(t, &tab, want)
	}
	if len(tab.buckets) > 8 {
		t.Errorf("an empty table keeps %d buckets", len(tab.buckets))
	}
}

func checkTable(t *testing.T, tab *table, want map[string]*Channel) {
	t.Helper()
	n := 0
	for c := range tab.all {
		if n++; want[c.Name()] != c {
			t.Fatalf("%s is in the table and should not be", c.Name())
		}
	}
	if n != len(want) || tab.n != n {
		t.Fatalf("%d channels in the table, counted %d, want %d", n, tab.n, len(want))
	}
}
