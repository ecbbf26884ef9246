//go:build linux

package tally

import "testing"

func TestSequence(t *testing.T) {
	tests := []struct {
		name                                    string
		got                                     []uint32
		deliveries, lost, duplicated, reordered int64
		next, accounted                         uint32
	}{
		{"in order", []uint32{1, 2, 3}, 3, 0, 0, 0, 4, 3},
		{"gap", []uint32{1, 4}, 2, 2, 0, 0, 5, 4},
		{"twice", []uint32{1, 2, 2}, 2, 0, 1, 0, 3, 2},
		{"long ago", []uint32{1, 2, 3, 1}, 3, 0, 1, 0, 4, 3},
		{"swapped", []uint32{2, 1, 3}, 3, 0, 0, 1, 4, 3},
		{"late, and again", []uint32{1, 3, 2, 2}, 3, 0, 1, 1, 4, 3},
		{"one of two comes late", []uint32{3, 1}, 2, 1, 0, 1, 4, 3},
	}
	for _, test := range tests {
		k := NewChecker(&Counts{})
		next, sum := uint32(1), uint32(0)
		for _, seq := range test.got {
			var n uint32
			next, n = k.Sequence(7, next, seq)
			sum += n
		}
		want := Counts{Deliveries: test.deliveries, Lost: test.lost, Duplicated: test.duplicated, Reordered: test.reordered}
		if *k.Counts != want || next != test.next || sum != test.accounted {
			t.Errorf("%s: %+v, next %d, accounted %d", test.name, *k.Counts, next, sum)
		}
	}
}
