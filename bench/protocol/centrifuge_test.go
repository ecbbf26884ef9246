//go:build linux

package protocol

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestCentrifugeMessages reads what the library sends, also several objects in one frame.
func TestCentrifugeMessages(t *testing.T) {
	d, c := NewCodec(DialectCentrifuge, "p-"), NewContents(60)
	content := string(c.append(nil, 1, 7, 2))
	push := `{"push":{"channel":"p-7","pub":{"data":"` + content + `","offset":2}}}`
	for piece, want := range map[string][]Message{
		push: {{Kind: KindData, Channel: 7, Seq: 2, Content: []byte(content)}},
		`{"id":1,"connect":{"client":"x"}}` + "\n" + `{"id":2,"subscribe":{}}` + "\n" + `{"id":3,"subscribe":{}}` + "\n" + push: {
			{Kind: KindAnswer}, {Kind: KindAnswer}, {Kind: KindJoined}, {Kind: KindData, Channel: 7, Seq: 2, Content: []byte(content)}},
		strings.Replace(push, "}}}", `,"epoch":"uzkEXgPt"}}}`, 1): {{Kind: KindData, Channel: 7, Seq: 2, Content: []byte(content)}},
		strings.Replace(push, "}}}", `,"epoch":"uzk"x}}}`, 1):     nil,
		strings.Replace(push, "}}}", `,"epoch":"uzk}}}`, 1):       nil,
		"{}":                            {{Kind: KindNoop}},
		`{"id":2,"error":{"code":103}}`: {{Kind: KindRefused, Content: []byte(`"error":{"code":103}}`)}},
		strings.Replace(push, `"p-7"`, `"q-7"`, 1):      nil,
		strings.Replace(push, `"offset":2`, `"x":2`, 1): nil,
		push[:len(push)-1]:                              nil,
		push + "\n" + "nonsense":                        nil,
	} {
		var got []Message
		err := d.Messages(WS, false, c, []byte(piece), func(m Message) error {
			got = append(got, m)
			return nil
		})
		if want == nil && !errors.Is(err, errMessage) || want != nil && (err != nil || !reflect.DeepEqual(got, want)) {
			t.Errorf("%q: %+v, %v", piece, got, err)
		}
	}
}

// TestCentrifugeJoin has handshake and commands read by a WebSocket library, with frames of
// each form of length.
func TestCentrifugeJoin(t *testing.T) {
	said := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			said <- err.Error()
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		_, text, err := c.Read(r.Context())
		said <- fmt.Sprint(string(text), err)
	}))
	defer server.Close()
	d := NewCodec(DialectCentrifuge, "p-")
	for _, n := range []int{1, 2, 50, 2000} {
		places := make([]Place, n)
		want := `{"id":1,"connect":{}}`
		for i := range places {
			places[i].Channel = uint32(i)
			want += fmt.Sprintf("\n{\"id\":%d,\"subscribe\":{\"channel\":\"p-%d\"}}", map[bool]int{false: 2, true: 3}[i == n-1], i)
		}
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Write(d.Join(d.Subscribe(nil, WS, places, nil), places))
		if got := <-said; err != nil || got != want+"<nil>" {
			t.Errorf("%d channels: %.300q, %v", n, got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if b := NewCodec(DialectIcomet, "p-").Join(nil, []Place{{}}); len(b) > 0 {
		t.Errorf("iComet's subscribers say more: %q", b)
	}
}
