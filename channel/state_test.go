package channel

import (
	"errors"
	"testing"
	"time"
)

// TestRestoredLife: a channel that is restored is freed when the rest of its life is over, as
// any other; one that is used again lives on.
func TestRestoredLife(t *testing.T) {
	h := NewHub(small)
	h.Resume(Lives{Salt: 1, Count: 2}, 4*time.Second)
	for _, name := range []string{"a", "used"} {
		if _, err := h.Restore(&State{Name: name, Epoch: 5, Next: 3, Left: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Restore(&State{Name: "a", Epoch: 6, Next: 1, Left: 10 * time.Second}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if _, err := h.Restore(&State{Name: "b", Epoch: 6, Next: 1, Left: 4 * time.Second}); !errors.Is(err, ErrExpired) {
		t.Error(err)
	}
	// A clock that ticks as the server's does.
	now := time.Duration(0)
	tickTo := func(end time.Duration) {
		for ; now <= end; now += 100 * time.Millisecond {
			h.Tick(now)
		}
	}
	tickTo(5900 * time.Millisecond)
	if h.Channels() != 2 {
		t.Fatal("freed before its time")
	}
	if seq := publish(t, h, "used", "x"); seq != 3 {
		t.Errorf("seq %d", seq)
	}
	tickTo(7 * time.Second)
	if h.Alive([]byte("a")) || h.Channels() != 1 || !h.Alive([]byte("used")) {
		t.Errorf("%d channels", h.Channels())
	}
	tickTo(6*time.Second + small.Timeout + 2*time.Second)
	if h.Channels() != 0 {
		t.Error("a used one is not freed")
	}
}

// TestLivesGoOn: what a hub that goes on creates has epochs of its own, whatever shard a name
// is in.
func TestLivesGoOn(t *testing.T) {
	seen := map[uint32]bool{}
	lives := Lives{Salt: 77}
	for range 4 {
		h := NewHub(small)
		h.Resume(lives, 0)
		for range 50 {
			publish(t, h, "a", "x")
			b, _, _ := h.Look([]byte("a"), 0, 0, nil)
			if seen[b.Epoch] {
				t.Fatalf("epoch %08x twice", b.Epoch)
			}
			seen[b.Epoch] = true
			if _, err := h.Close([]byte("a")); err != nil {
				t.Fatal(err)
			}
		}
		lives = h.Lives()
	}
	if lives != (Lives{Salt: 77, Count: 200}) {
		t.Errorf("%+v", lives)
	}
}
