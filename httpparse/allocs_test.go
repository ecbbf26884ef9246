//go:build !race

package httpparse

import "testing"

// checkAllocs: in the steady state, when the buffers have grown, nothing is allocated.
func checkAllocs(t *testing.T, f func()) {
	t.Helper()
	f()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestAllocsParse(t *testing.T) {
	request := []byte(benchRequest)
	post := []byte("POST http://a/b?c HTTP/1.0\r\nConnection: keep-alive, x\r\nContent-Length: 5\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	bad := []byte("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n")
	var r Request
	checkAllocs(t, func() {
		for n := range request {
			if Parse(&r, request[:n+1], n, &testLimits) == nil && (walkQuery(r.Query) == 0 || r.Get("accept") == nil) {
				t.Error("wrong result")
			}
		}
		if Parse(&r, request[:100], 0, &testLimits) != ErrIncomplete || Parse(&r, post, 0, &testLimits) != nil || Parse(&r, bad, 0, &testLimits) != ErrFieldName {
			t.Error("wrong verdict")
		}
	})
}

func TestAllocsChunked(t *testing.T) {
	body := []byte("5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n")
	var d ChunkDecoder
	checkAllocs(t, func() {
		d.Reset(&testLimits)
		for rest := body; !d.Done(); {
			_, n, err := d.Next(rest)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			rest = rest[n:]
		}
	})
}

func TestAllocsParameters(t *testing.T) {
	object := []byte(`{"a\n":"b\u63a8\ud83d\ude00","c":-1.5e3}`)
	escaped := []byte("a%20b+c")
	long := []byte("a message with \\n and 推送")
	var m JSONMembers
	var scratch []byte
	checkAllocs(t, func() {
		for m.Init(object, scratch[:0]); m.Next(); {
		}
		scratch = m.Scratch()
		var err error
		if scratch, err = AppendUnescaped(scratch[:0], escaped); err != nil || m.Err() != nil {
			t.Fatal(err, m.Err())
		}
		if _, ok := ParseInt(long); ok || !ValidJSONString(long) || !ContentTypeIs([]byte("Application/JSON; a=b"), "application/json") {
			t.Fatal("wrong verdict")
		}
	})
}
