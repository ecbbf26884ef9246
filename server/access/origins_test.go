package access

import (
	"testing"

	"icomet/server/config"
)

// TestAdminListenHost: the name that is listened on is the listener's.
func TestAdminListenHost(t *testing.T) {
	o := NewAdminOrigins(&config.Admin{Listen: "Desk.internal:8000"})
	for host, want := range map[string]bool{"desk.internal": true, "DESK.INTERNAL": true, "desk": false, "": false} {
		if got := o.knownHost([]byte(host)); got != want {
			t.Errorf("%q: got %v", host, got)
		}
	}
}
