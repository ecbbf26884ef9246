package access

import (
	"fmt"
	"testing"

	"icomet/server/config"
)

// TestKeysAllLookedAt: a match neither ends the search nor is undone by it.
func TestKeysAllLookedAt(t *testing.T) {
	keys, err := LoadKeys(&config.Admin{Keys: []string{"a", "b", "a"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"a": true, "b": true, "c": false, "": false} {
		if got := keys.match([]byte(key)); got != want {
			t.Errorf("%q: got %v", key, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { keys.match([]byte("a")) }); n > 0 {
		t.Error(fmt.Sprint(n, " allocations"))
	}
}
