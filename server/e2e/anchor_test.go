package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestArmedBeforeThereIsALoop reloads before gnet has shown any event loop: the
// loops must run all the same when they come.
func TestArmedBeforeThereIsALoop(t *testing.T) {
	t.Parallel()
	s := startServerAs(t, nil, nil, func(srv *testServer) {
		if err := srv.Reload(srv.cfg); err != nil {
			t.Error(err)
		}
	})
	for i := range 8 { // some on each loop
		c := s.subscribe(fmt.Sprintf("/stream?cname=a%d&seq=1", i))
		s.call(fmt.Sprintf("/push?cname=a%d&content=hi", i))
		if got := c.chunk(); !strings.Contains(got, `"content":"hi"`) {
			t.Errorf("got %q", got)
		}
	}
}
