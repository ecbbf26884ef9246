//go:build linux

package protocol

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// TestRequests reads the harness's requests with net/http.
func TestRequests(t *testing.T) {
	d := NewCodec(DialectIcomet, "p-")
	for _, size := range []int{100, longestInTarget, longestInTarget + 1, 50_000} {
		c := NewContents(size)
		r := readRequest(t, d.Publish(nil, c, 5, 7, 3))
		if r.path != "/push" || r.form.Get("cname") != "p-7" || r.form.Get("content") != string(c.append(nil, 5, 7, 3)) {
			t.Errorf("size %d: %s %.100v", size, r.path, r.form)
		}
		r = readRequest(t, d.Broadcast(nil, c, 5, 3))
		if r.path != "/broadcast" || r.form.Get("content") != string(c.append(nil, 5, BroadcastChannel, 3)) {
			t.Errorf("size %d: %s %.100v", size, r.path, r.form)
		}
	}
	for transport, path := range map[Transport]string{Stream: "/stream", SSE: "/sse", Iframe: "/iframe", Poll: "/poll", WS: "/ws"} {
		r := readRequest(t, d.Subscribe(nil, transport, []Place{{7, 9}, {8, 1}}, nil))
		if r.path != path || !slices.Equal(r.form["cname"], []string{"p-7", "p-8"}) || !slices.Equal(r.form["seq"], []string{"9", "1"}) {
			t.Errorf("%s: %s %v", transport, r.path, r.form)
		}
	}
}

type request struct {
	path string
	form url.Values
}

func readRequest(t *testing.T, b []byte) request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatalf("%.100q: %v", b, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	return request{r.URL.Path, r.Form}
}
