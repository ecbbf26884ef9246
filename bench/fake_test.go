//go:build linux

package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"icomet/bench/protocol"
	"icomet/bench/target"
)

// fault is what the fake server does wrong, at message faultAt, towards the first
// subscription only.
type fault int

const (
	none fault = iota
	dropMessage
	dropAtRaw // drops and counts on, as if nothing had been there
	doubleMessage
	swapMessages
	flipByte
	otherChannel
	badChunk
	badTrailer
	wrongEventID
	closeStream
	endStream
	closeMessage
	refuseInBand
	refuseSubscriber
	refuseLater
	refusePublish
	refuseOverload // nothing is done, unlike the above
	wrongAnswer
	dropAnswer
	stall
)

const faultAt = 5

const refusals = 7

// fake is a server of the protocol with a goroutine for each connection: slow,
// but quick to be made misbehave.
type fake struct {
	fault        fault
	transport    protocol.Transport
	front, admin net.Listener
	mu           sync.Mutex
	channels     map[string]*fakeChannel
	conns        []net.Conn
	stallFor     time.Duration
	subscribed   int // subscriptions so far
	refused      int // refuseOverload, refuseLater: so often
}

type fakeChannel struct {
	contents []string
	subs     []*fakeSub
}

type fakeSub struct {
	conn  net.Conn
	first bool
	held  string // a message kept back
	off   int    // added to every seq
	had   []int  // by channel of the connection, the last seq; shared by its subscriptions
	index int    // of this one among them
	poll  int    // the seq a poll waits for, 0: none waits
}

func startFake(t *testing.T, f *fake) target.Target {
	t.Helper()
	f.channels = map[string]*fakeChannel{}
	var wait sync.WaitGroup
	listen := func(serve func(net.Conn)) net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				f.mu.Lock()
				f.conns = append(f.conns, c)
				f.mu.Unlock()
				wait.Go(func() { serve(c) })
			}
		})
		return l
	}
	f.front, f.admin = listen(f.serveFront), listen(f.serveAdmin)
	t.Cleanup(func() {
		f.front.Close()
		f.admin.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		wait.Wait()
	})
	return target.Target{Running: []target.Node{{Front: f.front.Addr().String(), Admin: f.admin.Addr().String()}}}
}

func (f *fake) channel(name string) *fakeChannel {
	if f.channels[name] == nil {
		f.channels[name] = &fakeChannel{}
	}
	return f.channels[name]
}

func (f *fake) serveFront(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	var sub *fakeSub
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		q := request.URL.Query()
		f.mu.Lock()
		ch := f.channel(q.Get("cname"))
		if sub == nil {
			sub = f.subscribe(c, q["cname"])
		}
		switch {
		case f.fault == refuseLater && f.refused < refusals:
			f.refused++
			ch.subs = ch.subs[:len(ch.subs)-1]
			fmt.Fprint(c, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
			f.mu.Unlock()
			return
		case f.fault == refuseSubscriber && sub.first:
			fmt.Fprint(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
			f.mu.Unlock()
			return
		case f.transport == protocol.Poll:
			sub.poll, _ = strconv.Atoi(q.Get("seq"))
			f.answerPoll(sub, q.Get("cname"), ch)
		default:
			head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			if f.transport == protocol.WS { // to the key that the harness sends
				head = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
			}
			fmt.Fprint(c, head)
			if f.fault == refuseInBand && sub.first {
				f.write(c, fmt.Sprintf(`{"type":"429","cname":"%s","seq":0,"content":"Too many subscribers"}`+"\n", q.Get("cname")))
			}
		}
		f.mu.Unlock()
	}
}

// subscribe adds a connection to its channels, and returns its first subscription.
func (f *fake) subscribe(c net.Conn, names []string) (first *fakeSub) {
	had := make([]int, len(names))
	for i, name := range names {
		ch := f.channel(name)
		sub := &fakeSub{conn: c, first: f.subscribed == 0, had: had, index: i}
		f.subscribed++
		ch.subs = append(ch.subs, sub)
		if i == 0 {
			first = sub
		}
	}
	return first
}

func (f *fake) serveAdmin(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if request.URL.Path != "/push" {
			fmt.Fprint(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		f.mu.Lock()
		q := request.URL.Query()
		ch := f.channel(q.Get("cname"))
		if f.fault == refuseOverload && len(ch.contents)+1 >= faultAt && f.refused < refusals {
			f.refused++
			f.mu.Unlock()
			fmt.Fprint(c, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 22\r\n\r\noverloaded: try again\n")
			continue
		}
		ch.contents = append(ch.contents, q.Get("content"))
		n := len(ch.contents)
		f.mu.Unlock()
		if f.fault == stall && n == faultAt {
			time.Sleep(f.stallFor) // the fault itself, not a wait for anything
		}
		f.mu.Lock()
		for _, s := range ch.subs {
			f.deliver(s, q.Get("cname"), ch, n)
		}
		f.mu.Unlock()
		answer := "{\"type\":\"ok\"}\n"
		switch {
		case f.fault == refusePublish && n == faultAt:
			fmt.Fprint(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
			continue
		case f.fault == wrongAnswer && n == faultAt:
			answer = "{\"type\":\"no\"}\n"
		case f.fault == dropAnswer && n == faultAt:
			continue
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	}
}

func object(name string, seq int, content string) string {
	return fmt.Sprintf(`{"type":"data","cname":"%s","seq":%d,"content":"%s"}`, name, seq, content)
}

func (f *fake) framed(s *fakeSub, seq int, m string) string {
	switch f.transport {
	case protocol.SSE:
		if f.fault == wrongEventID && seq == faultAt {
			seq++
		}
		if len(s.had) == 1 {
			return fmt.Sprintf("data: %s\nid: %d\n\n", m, seq)
		}
		s.had[s.index] = seq
		id := make([]string, len(s.had))
		for i, n := range s.had {
			id[i] = fmt.Sprintf("0a-%d", n)
		}
		return fmt.Sprintf("data: %s\nid: %s\n\n", m, strings.Join(id, ","))
	case protocol.WS:
		return m
	case protocol.Iframe:
		return "<script>parent.icomet_cb(" + m + ");</script>\n"
	}
	return m + "\n"
}

// write sends a unit of the transport: a chunk, or a frame of 126 bytes and more.
func (f *fake) write(c net.Conn, s string) {
	if f.transport == protocol.WS {
		fmt.Fprintf(c, "\x81\x7e%s%s", binary.BigEndian.AppendUint16(nil, uint16(len(s))), s)
		return
	}
	fmt.Fprintf(c, "%x\r\n%s\r\n", len(s), s)
}

// deliver sends message n of a channel, wrongly if it is its turn.
func (f *fake) deliver(s *fakeSub, name string, ch *fakeChannel, n int) {
	if f.transport == protocol.Poll {
		f.answerPoll(s, name, ch)
		return
	}
	content, fault := ch.contents[n-1], none
	if s.first && n == faultAt {
		fault = f.fault
	}
	m := f.framed(s, n+s.off, object(name, n+s.off, content))
	switch fault {
	case dropMessage:
		return
	case dropAtRaw:
		s.off--
		return
	case doubleMessage:
		f.write(s.conn, m)
	case swapMessages:
		s.held = m
		return
	case flipByte:
		i := strings.LastIndexByte(m, '.') + 3
		m = m[:i] + string(m[i]^1) + m[i+1:]
	case otherChannel:
		m = strings.Replace(m, name, name+"1", 1)
	case badChunk:
		if f.transport == protocol.WS { // a masked frame
			fmt.Fprintf(s.conn, "\x81\x81mask%s", m)
			return
		}
		fmt.Fprintf(s.conn, "zz\r\n%s\r\n", m)
		return
	case badTrailer:
		fmt.Fprintf(s.conn, "%x\r\n%sXX", len(m), m)
		return
	case closeStream:
		s.conn.Close()
		return
	case endStream:
		if f.transport == protocol.WS {
			fmt.Fprint(s.conn, "\x88\x02\x03\xe8")
			return
		}
		fmt.Fprint(s.conn, "0\r\n\r\n")
		return
	case closeMessage:
		m = fmt.Sprintf(`{"type":"close","cname":"%s","seq":%d,"content":""}`+"\n", name, n)
	}
	f.write(s.conn, m)
	if s.held != "" {
		f.write(s.conn, s.held)
		s.held = ""
	}
}

// answerPoll answers a waiting poll when there is something for it.
func (f *fake) answerPoll(s *fakeSub, name string, ch *fakeChannel) {
	if s.poll == 0 || s.poll > len(ch.contents) {
		return
	}
	var list []string
	for seq := s.poll; seq <= len(ch.contents); seq++ {
		if s.first && f.fault == dropMessage && seq == faultAt {
			continue
		}
		list = append(list, object(name, seq, ch.contents[seq-1]))
	}
	if len(list) == 0 {
		return // it waits for the message after the dropped one
	}
	s.poll = 0
	if s.first && f.fault == doubleMessage && len(ch.contents) >= faultAt {
		list = append(list, list[len(list)-1])
	}
	body := "icomet_cb(" + list[0] + ");\n"
	if len(list) > 1 {
		body = "icomet_cb([" + strings.Join(list, ",") + "]);\n"
	}
	fmt.Fprintf(s.conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
