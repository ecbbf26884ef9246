package e2e

import "testing"

func TestStreamGetsWhatIsPublished(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := s.subscribe("/stream?cname=a&seq=1")
	if got := s.call("/push?cname=a&content=hi"); got != "{\"type\":\"ok\"}\n" {
		t.Errorf("push answers %q", got)
	}
	if got, want := c.chunk(), `{"type":"data","cname":"a","seq":1,"content":"hi"}`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
