package client_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icomet/client"
)

// rawServer answers /ping as a server does, and every other request with the bytes that
// answer has for it; more says whether the connection stays open then.
func rawServer(t *testing.T, answer func(n int) (bytes string, more bool)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	var count atomic.Int64
	serve := func(c net.Conn) {
		defer c.Close()
		for in := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if req.URL.Path == "/ping" {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n"+`{"type":"ping","sub_timeout":30}`)
				continue
			}
			text, more := answer(int(count.Add(1)) - 1)
			fmt.Fprint(c, text)
			if !more {
				return
			}
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "http://" + ln.Addr().String()
}

// TestSlowChunk: the bytes of one HTTP chunk are signs of life, also those of a line that
// gets slow in its middle.
func TestSlowChunk(t *testing.T) {
	t.Parallel()
	for _, transport := range overHTTP {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			_, text := answerWith(transport)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ln.Close() })
			go func() {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				fmt.Fprint(c, text[:len(text)/2])
				tick := time.NewTicker(150 * time.Millisecond)
				defer tick.Stop()
				for i := len(text) / 2; i < len(text); i++ {
					<-tick.C
					fmt.Fprint(c, text[i:i+1])
				}
				_, _ = c.Read(make([]byte, 1<<16)) // until the client leaves
			}()
			b := receive(t, &client.Subscriber{
				URL: "http://" + ln.Addr().String(), Channel: "a", Seq: 3, Transport: transport, Silence: 5 * time.Second,
			})
			b.want("m3")
			if len(b.failures) > 0 {
				t.Errorf("failure %v", <-b.failures)
			}
		})
	}
}

// chunks frames texts as a chunked answer that does not end.
func chunks(media string, texts ...string) string {
	out := "HTTP/1.1 200 OK\r\nContent-Type: " + media + "\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, text := range texts {
		out += fmt.Sprintf("%x\r\n%s\r\n", len(text), text)
	}
	return out
}

// answerWith is a transport's answer with two messages, and one with the third.
func answerWith(transport client.Transport) (two, third string) {
	switch transport {
	case client.SSE:
		return chunks("text/event-stream", "retry: 1\n", "data: "+message(1)+"\nid: e-1\n\n", "data: "+message(2)+"\nid: e-2\n\n"),
			chunks("text/event-stream", "retry: 1\ndata: "+message(3)+"\nid: e-3\n\n")
	case client.Iframe:
		call := func(n int) string { return "<script>parent.icomet_cb(" + message(n) + ");</script>\n" }
		return chunks("text/html", "<html><body>\n", call(1), call(2)), chunks("text/html", "<html><body>\n", call(3))
	case client.Poll:
		whole := func(text string) string {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		}
		return whole("[" + message(1) + "," + message(2) + "]\n"), whole(message(3) + "\n")
	}
	return chunks("application/json", message(1)+"\n", message(2)+"\n"), chunks("application/json", message(3)+"\n")
}

// TestCutAnywhere: an answer is cut at every byte; each message comes once, in order.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	for _, transport := range overHTTP {
		two, third := answerWith(transport)
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			for from := 0; from <= len(two); from += 100 { // a subscriber for each hundred
				url := rawServer(t, func(n int) (string, bool) {
					cut := from + n
					switch last := min(from+99, len(two)); {
					case cut <= last:
						return two[:cut], false
					case cut == last+1 && last < len(two):
						return two, false
					case cut <= last+2:
						return third, true
					}
					return "", true
				})
				b := receive(t, &client.Subscriber{URL: url, Channel: "a", Seq: 1, Transport: transport, MinBackoff: 1, MaxBackoff: 1})
				b.want("m1", "m2", "m3")
			}
		})
	}
}

// TestGarbage: an answer that is not HTTP, or not iComet's, is a failure that passes.
func TestGarbage(t *testing.T) {
	t.Parallel()
	garbage := []string{
		"garbage", "\x00\xff\x16\x03\x01", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/9.9 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
		"HTTP/1.1 200 OK\r\nbroken\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		chunks("text/event-stream", "data: nonsense\n\nnonsense\n"), chunks("text/event-stream", "data: [1,2]\n\n[1,2]\n"),
		chunks("text/event-stream", "data: \"x\"\n\n"), chunks("text/event-stream", strings.Repeat("[", 20000)),
		"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nx",
	}
	for _, transport := range overHTTP {
		url := rawServer(t, func(n int) (string, bool) {
			two, _ := answerWith(transport)
			switch {
			case n < len(garbage):
				return garbage[n], false
			case n == len(garbage):
				return two, true
			}
			return "", true
		})
		b := receive(t, &client.Subscriber{URL: url, Channel: "a", Seq: 1, Transport: transport, MinBackoff: 1, MaxBackoff: 1})
		b.want("m1", "m2")
	}
}

// TestStoredAnswer: a poll that is answered at once with what the client has is not
// repeated at once.
func TestStoredAnswer(t *testing.T) {
	t.Parallel()
	for _, stored := range []string{message(1), `{"type":"noop","cname":"a","seq":1,"content":""}`} {
		url := rawServer(t, func(n int) (string, bool) {
			text := message(1)
			if n > 0 {
				text = stored
			}
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text), true
		})
		b := receive(t, &client.Subscriber{URL: url, Channel: "a", Seq: 1, Transport: client.Poll})
		b.want("m1")
		if err := wait(t, b.failures); !strings.Contains(err.Error(), "nothing new") {
			t.Errorf("failure %v", err)
		}
	}
}

// TestLargeAnswer: what bounds a message does not bound the list that it is in.
func TestLargeAnswer(t *testing.T) {
	t.Parallel()
	const count, size = 17, 4 << 20 // together above the limit of one message
	content := strings.Repeat("x", size)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/ping":
			fmt.Fprint(w, `{"type":"ping","sub_timeout":30}`)
		case req.FormValue("cname") == "large":
			fmt.Fprint(w, `{"type":"data","cname":"large","seq":1,"content":"`)
			for range count {
				fmt.Fprint(w, content)
			}
			fmt.Fprint(w, `"}`)
		case req.FormValue("seq") == "1":
			for n := range count {
				fmt.Fprintf(w, `%c{"type":"data","cname":"a","seq":%d,"content":%q}`, "[,"[min(n, 1)], n+1, content)
			}
			fmt.Fprint(w, "]\n")
		default:
			<-req.Context().Done()
		}
	}))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	b := receive(t, &client.Subscriber{URL: web.URL, Channel: "a", Seq: 1, Transport: client.Poll})
	for n := range count {
		if m := wait(t, b.messages); len(m.Content) != size || m.Seq != int64(n+1) || m.Lost > 0 {
			t.Fatalf("message %d has %d bytes, want %d of %d", m.Seq, len(m.Content), n+1, size)
		}
	}
	b = receive(t, &client.Subscriber{URL: web.URL, Channel: "large", Seq: 1, Transport: client.Poll})
	if err := wait(t, b.end); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("a message that is too large: ended with %v", err)
	}
}

// TestUselessURL: what no request can be made to is an error at once, and is not tried
// again.
func TestUselessURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                    "URL: is missing",
		"127.0.0.1:8100":      "no scheme",
		"localhost:8100":      "no scheme",
		"//127.0.0.1:8100":    "no scheme",
		"push.example.com":    "no scheme",
		"ftp://127.0.0.1:81":  "no scheme",
		"http:127.0.0.1:8100": "no host",
		"http://":             "no host",
		"http://a:b:c":        "port",
		"http://%zz/":         "escape",
	} {
		start := time.Now()
		for _, transport := range client.Transports {
			b := receive(t, &client.Subscriber{URL: url, Channel: "a", Transport: transport, MinBackoff: time.Hour})
			if err := wait(t, b.end); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "want http://") {
				t.Errorf("%q: ended with %v, want %s", url, err, want)
			}
		}
		err := (&client.Admin{URL: url}).Push(t.Context(), "a", "x")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: Push returned %v, want %s", url, err, want)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%q: took %v", url, took)
		}
	}
}

// TestURLWithQuery: a URL may have a path and a query of its own.
func TestURLWithQuery(t *testing.T) {
	t.Parallel()
	s := startScript(t, answer{body: message(1) + "\n", open: true})
	receive(t, &client.Subscriber{URL: s.URL + "/comet/?tenant=a%26b", Channel: "x y", Seq: 1}).want("m1")
	r := wait(t, s.requests)
	if q := r.URL.Query(); r.URL.Path != "/comet/stream" || q.Get("tenant") != "a&b" || q.Get("cname") != "x y" {
		t.Errorf("asked for %s", r.URL)
	}
}
