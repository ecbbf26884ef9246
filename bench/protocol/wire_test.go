//go:build linux

package protocol

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// parts notes what a wire tells, as text.
type parts struct{ list []string }

func (p *parts) Head(status int, _ []byte) error {
	p.list = append(p.list, fmt.Sprint("head ", status))
	return nil
}

func (p *parts) Piece(body []byte) error {
	p.list = append(p.list, "piece "+string(body))
	return nil
}

func (p *parts) End() error {
	p.list = append(p.list, "end")
	return nil
}

// feedIn feeds b in two or more cuts, keeping what was not whole, as a worker does.
func feedIn(b string, cuts ...int) ([]string, error) {
	var w Wire
	var p parts
	var kept []byte
	from := 0
	for _, to := range append(cuts, len(b)) {
		kept = append(kept, b[from:to]...)
		from = to
		used, err := w.Feed(kept, &p)
		if err != nil {
			return p.list, err
		}
		kept = append([]byte(nil), kept[used:]...)
	}
	if len(kept) > 0 {
		return p.list, fmt.Errorf("%d bytes left", len(kept))
	}
	return p.list, nil
}

const stream = "HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
	"5\r\nhello\r\n" + "1A;ext=1\r\nabcdefghijklmnopqrstuvwxyz\r\n" + "0\r\n\r\n" +
	"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc" +
	"HTTP/1.1 204 No Content\r\nContent-Length:0\r\n\r\n" +
	"HTTP/1.0 503 Service Unavailable\r\nConnection: Close\r\nCONTENT-LENGTH: 2\r\n\r\nno"

var streamParts = []string{"head 200", "piece hello", "piece abcdefghijklmnopqrstuvwxyz", "end",
	"head 200", "piece abc", "end", "head 204", "end", "head 503", "piece no", "end"}

func TestWireInAnyFragmentation(t *testing.T) {
	check := func(cuts ...int) {
		t.Helper()
		if got, err := feedIn(stream, cuts...); err != nil || !reflect.DeepEqual(got, streamParts) {
			t.Fatalf("cut at %v: %v, %q", cuts, err, got)
		}
	}
	check()
	var bytewise []int
	for i := range stream {
		check(i)
		bytewise = append(bytewise, i)
		for j := i; j < len(stream); j += 7 {
			check(i, j)
		}
	}
	check(bytewise...)
}

func TestWireRefuses(t *testing.T) {
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		bytes string
		want  error
	}{
		{"garbage\r\n\r\n", errHead},
		{"HTTP/2.0 200 OK\r\n\r\n", errHead},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", errHead},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", errHead},
		{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", errTooLarge},
		{strings.Repeat("x", 70_000), errHead},
		{chunked + "zz\r\n", errChunk},
		{chunked + "\r\nabc", errChunk},
		{chunked + "3\nabc\r\n", errChunk},
		{chunked + "3\r\nabcd\r\n", errChunk},
		{chunked + "3\r\nabc\n\n", errChunk},
		{chunked + "7fffffff\r\n", errTooLarge},
	}
	for _, test := range tests {
		if _, err := feedIn(test.bytes); !errors.Is(err, test.want) {
			t.Errorf("%.60q: %v, want %v", test.bytes, err, test.want)
		}
	}
}

func TestWireNotesConnectionClose(t *testing.T) {
	for head, want := range map[string]bool{"Connection: close\r\n": true, "connection:CLOSE\r\n": true, "Connection: keep-alive\r\n": false, "": false} {
		var w Wire
		if _, err := w.Feed([]byte("HTTP/1.1 200 OK\r\n"+head+"Content-Length: 1\r\n\r\nx"), &parts{}); err != nil || w.Bye != want {
			t.Errorf("%q: bye %v, %v", head, w.Bye, err)
		}
	}
}

const webSocket = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nsec-WebSocket-accept: " + wsAccept + "\r\n\r\n"

// TestFrames: each size of length, in any fragmentation.
func TestFrames(t *testing.T) {
	medium, large := strings.Repeat("m", 126), strings.Repeat("l", 1<<16)
	b := webSocket + "\x81\x05hello" + "\x81\x7e\x00\x7e" + medium + "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + large + "\x88\x02\x03\xe8"
	want := []string{"head 101", "piece hello", "piece " + medium, "piece " + large, "end"}
	for cut := range b {
		if cut > 600 && cut < len(b)-600 {
			continue
		}
		if got, err := feedIn(b, cut); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("cut at %d: %v, %.300q", cut, err, got)
		}
	}
}

func TestFramesRefused(t *testing.T) {
	tests := []struct {
		bytes string
		want  error
	}{
		{strings.Replace(webSocket, "s3pP", "s3pp", 1), errHead},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", errHead},
		{webSocket + "\x01\x01x", errFrame},                                   // a fragment
		{webSocket + "\x82\x01x", errFrame},                                   // binary
		{webSocket + "\xc1\x01x", errFrame},                                   // compressed
		{webSocket + "\x89\x00", errFrame},                                    // ping
		{webSocket + "\x81\x81....x", errFrame},                               // masked
		{webSocket + "\x81\x7e\x00\x7d", errFrame},                            // a length that is not the shortest
		{webSocket + "\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", errFrame},    // the same
		{webSocket + "\x88\x7e\x00\x7e", errFrame},                            // a long close
		{webSocket + "\x81\x7f\x00\x00\x00\x00\x7f\x00\x00\x00", errTooLarge}, // 2 GiB
	}
	for _, test := range tests {
		if _, err := feedIn(test.bytes); !errors.Is(err, test.want) {
			t.Errorf("%.60q: %v, want %v", test.bytes, err, test.want)
		}
	}
}

// FuzzWire: no input may crash the parser, and where it is cut must not matter.
func FuzzWire(f *testing.F) {
	f.Add([]byte(stream), 40)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"), 3)
	f.Add([]byte(webSocket+"\x81\x03abc\x88\x02\x03\xe8"), 130)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) || len(b) > 4000 { // long heads are refused by length, which depends on cuts
			return
		}
		whole, err1 := feedIn(string(b))
		halves, err2 := feedIn(string(b), cut)
		if (err1 == nil) != (err2 == nil) || !reflect.DeepEqual(mergeOpenEnded(whole), mergeOpenEnded(halves)) {
			t.Errorf("cut at %d: %q %v, whole: %q %v", cut, halves, err2, whole, err1)
		}
	})
}

// mergeOpenEnded joins pieces after each other: a body that lasts until the
// end of the connection comes as it is read.
func mergeOpenEnded(list []string) (merged []string) {
	for _, s := range list {
		if n := len(merged); n > 0 && strings.HasPrefix(s, "piece ") && strings.HasPrefix(merged[n-1], "piece ") {
			merged[n-1] += s[len("piece "):]
			continue
		}
		merged = append(merged, s)
	}
	return merged
}
