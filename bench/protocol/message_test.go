//go:build linux

package protocol

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func TestIcometMessages(t *testing.T) {
	tests := []struct {
		transport Transport
		piece     string
		want      []string // nil: refused
	}{
		{Stream, `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\n", []string{"0 7 3 x"}},
		{Stream, `{"type":"noop","cname":"p-7","seq":0,"content":""}` + "\n", []string{"3 7 0 "}},
		{Stream, `{"type":"broadcast","cname":"p-0","seq":4294967295,"content":"x"}` + "\n", []string{"1 0 4294967295 x"}},
		{Stream, `{"type":"429","cname":"p-7","seq":0,"content":"Too many"}` + "\n", []string{"5 7 0 Too many"}},
		{SSE, "data: " + `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\nid: 3\n\n", []string{"0 7 3 x"}},
		{SSE, "data: " + `{"type":"noop","cname":"p-7","seq":9,"content":""}` + "\n\n", []string{"3 7 9 "}},
		{SSE, "data: " + `{"type":"next_seq","cname":"p-7","seq":3,"content":""}` + "\nid: 2\n\n", []string{"2 7 3 "}},
		{SSE, "retry: 2000\n", []string{}},
		{SSE, "retry: 15000\ndata: " + `{"type":"429","cname":"p-7","seq":0,"content":"x"}` + "\n\n", []string{"5 7 0 x"}},
		{Iframe, `<script>parent.icomet_cb({"type":"data","cname":"p-7","seq":3,"content":"x"});</script>` + "\n", []string{"0 7 3 x"}},
		{Iframe, "<html><body>\n", []string{}},
		{Poll, `icomet_cb({"type":"data","cname":"p-7","seq":3,"content":"x"});` + "\n", []string{"0 7 3 x"}},
		{Poll, `icomet_cb([{"type":"data","cname":"p-7","seq":3,"content":"x"},{"type":"data","cname":"p-7","seq":4,"content":"y"}]);` + "\n", []string{"0 7 3 x", "0 7 4 y"}},
		{Poll, `icomet_cb([{"type":"data","cname":"p-7","seq":3,"content":"x"}]);` + "\n", []string{"0 7 3 x"}},
		{WS, `{"type":"data","cname":"p-7","seq":3,"content":"x"}`, []string{"0 7 3 x"}},

		{Stream, `{"type":"data","cname":"p-7","seq":3,"content":"x"}`, nil},
		{Stream, `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\n\n", nil},
		{WS, `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\n", nil},
		{WS, "", nil},
		{Stream, `{"type":"data","cname":"q-7","seq":3,"content":"x"}` + "\n", nil},
		{Stream, `{"type":"data","cname":"p-7x","seq":3,"content":"x"}` + "\n", nil},
		{Stream, `{"type":"data","cname":"p-7","seq":"3","content":"x"}` + "\n", nil},
		{Stream, `{"type":"data","cname":"p-7","seq":4294967296,"content":"x"}` + "\n", nil},
		{Stream, `{"type": "data","cname":"p-7","seq":3,"content":"x"}` + "\n", nil},
		{Stream, `{"type":"other","cname":"p-7","seq":3,"content":"x"}` + "\n", nil},
		{Stream, `[{"type":"data","cname":"p-7","seq":3,"content":"x"}]` + "\n", nil},
		{SSE, "data: " + `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\n\n", nil},
		{SSE, "data: " + `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\nid: 4\n\n", nil},
		{SSE, "data: " + `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\nid: x\n\n", nil},
		{SSE, "data: " + `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\nid: 3\n", nil},
		{SSE, "data: " + `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\nretry: 3\n\n", nil},
		{SSE, "id: 3\ndata: " + `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\n\n", nil},
		{Iframe, `<script>parent.icomet_cb({"type":"data","cname":"p-7","seq":3,"content":"x"});</script>`, nil},
		{Poll, `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\n", nil},
		{Poll, `icomet_cb([{"type":"data","cname":"p-7","seq":3,"content":"x"},]);` + "\n", nil},
		{Poll, `icomet_cb([{"type":"data","cname":"p-7","seq":3,"content":"x"});` + "\n", nil},
	}
	for _, test := range tests {
		got := []string{}
		err := icometMessages(test.transport, false, "p-", []byte(test.piece), func(m Message) error {
			got = append(got, fmt.Sprintf("%d %d %d %s", m.Kind, m.Channel, m.Seq, m.Content))
			return nil
		})
		switch {
		case test.want == nil && !errors.Is(err, errMessage):
			t.Errorf("%s %q: %v, want refused", test.transport, test.piece, err)
		case test.want != nil && (err != nil || !reflect.DeepEqual(got, test.want)):
			t.Errorf("%s %q: %q, %v, want %q", test.transport, test.piece, got, err, test.want)
		}
	}
}

// TestSeveralChannels: there only the last event of a write has an id, of all channels.
func TestSeveralChannels(t *testing.T) {
	const data = "data: " + `{"type":"data","cname":"p-7","seq":3,"content":"x"}` + "\n"
	for piece, want := range map[string]string{
		data + "\n":                     "",
		data + "id: 0a-2,1b-3,ff-0\n\n": "0a-2,1b-3,ff-0",
	} {
		var got []string
		if err := icometMessages(SSE, true, "p-", []byte(piece), func(m Message) error {
			got = append(got, string(m.ID))
			return nil
		}); err != nil || !reflect.DeepEqual(got, []string{want}) {
			t.Errorf("%q: %q, %v", piece, got, err)
		}
	}
	had := func(i int) uint32 { return []uint32{2, 3, 0}[i] }
	for id, want := range map[string]bool{"0a-2,1b-3,ff-0": true, "0a-2,1b-3,ff-1": false, "0a-1,1b-3,ff-0": false, "0a-2,1b-3": false,
		"0a-2,1b-3,ff-0,00-0": false, "0a-2,1b-3,ff-0,": false, "0a-2,3,ff-0": false, "0a-2,,ff-0": false, "0": false, "": false} {
		if CheckID([]byte(id), 3, had) != want {
			t.Errorf("%q: want %v", id, want)
		}
	}
}

func TestNchanMessages(t *testing.T) {
	d, c := &nchan{prefix: "p-"}, NewContents(60)
	one, two := c.append(nil, 1, 7, 1), c.append(nil, 2, 7, 2)
	for transport, piece := range map[Transport]string{
		Stream: string(one) + string(two),
		SSE:    ": hi\n\nid: 17:0\ndata: " + string(one) + "\n\nid: 17:1\ndata: " + string(two) + "\n\n",
		Poll:   string(one) + "\n" + string(two),
	} {
		var seqs []uint32
		if err := d.Messages(transport, false, c, []byte(piece), func(m Message) error {
			seqs = append(seqs, m.Seq)
			return nil
		}); err != nil || !reflect.DeepEqual(seqs, []uint32{1, 2}) {
			t.Errorf("%s: %v, %v", transport, seqs, err)
		}
		if err := d.Messages(transport, false, c, []byte(piece[:len(piece)-4]+"!!!!"), func(Message) error { return nil }); !errors.Is(err, errMessage) {
			t.Errorf("%s: a damaged message was taken: %v", transport, err)
		}
	}
}

// TestContent: what comes back is what was put in, and no change of a byte
// passes.
func TestContent(t *testing.T) {
	for _, size := range []int{MinSize, 100, 5000} {
		c := NewContents(size)
		b := c.append(nil, 1234567890123456789, 42, 99)
		at, channel, number, ok := c.Read(b)
		if len(b) != size || at != 1234567890123456789 || channel != 42 || number != 99 || !ok {
			t.Fatalf("size %d: %d %d %d %v from %q", size, at, channel, number, ok, b)
		}
		for i := range b {
			for _, change := range []byte{1, 0x20, 0x80} {
				b[i] ^= change
				if _, _, _, ok := c.Read(b); ok {
					t.Fatalf("size %d: byte %d changed by %x, not noticed", size, i, change)
				}
				b[i] ^= change
			}
		}
		if _, _, _, ok := c.Read(b[:size-1]); ok {
			t.Errorf("size %d: a short content passes", size)
		}
	}
}
