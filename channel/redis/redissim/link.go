package redissim

import (
	"bytes"
	"sync"
	"time"
)

// Link is one connection as the scheduler sees it. Only the scheduler's goroutine calls
// its exported methods.
type Link struct {
	ID     int
	Client string // who dialled
	Conn   *Conn

	server *Server
	subs   map[string]bool // its subscriptions

	mu     sync.Mutex // protects what the client's goroutines change
	up     []parcel   // written by the client, not yet delivered
	gone   bool       // the client has closed its end
	ended  bool       // the server has closed the connection, or the scheduler has cut it
	part   []byte     // delivered, but not yet a whole command
	down   []parcel   // answers and messages for the client, not yet handed over
	pubsub bool       // it has subscribed at least once
}

// parcel is what is under way, and since when.
type parcel struct {
	b  []byte
	at time.Time
}

func (l *Link) wrote(p []byte) {
	l.mu.Lock()
	if !l.ended {
		l.up = append(l.up, parcel{bytes.Clone(p), time.Now()})
	}
	l.mu.Unlock()
	l.server.active()
}

func (l *Link) clientClosed() {
	l.mu.Lock()
	l.gone = true
	l.mu.Unlock()
	l.server.active()
}

// PubSub reports that the connection has subscribed to something at least once.
func (l *Link) PubSub() bool { return l.pubsub }

// Ended reports that nothing can happen on the connection any more.
func (l *Link) Ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// Up is the number of parcels on the way to the server, and when the first set out. The
// client's closing is one too.
func (l *Link) Up() (n int, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = len(l.up)
	if l.gone && !l.ended {
		n++
	}
	if len(l.up) > 0 {
		since = l.up[0].at
	}
	return n, since
}

// Down is the number of answers and messages on the way to the client, and when the first
// set out.
func (l *Link) Down() (n int, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.down) > 0 {
		since = l.down[0].at
	}
	return len(l.down), since
}

// Deliver brings one parcel to the server, cut to at most max bytes (0: whole), which
// carries out the commands that are complete by then.
func (l *Link) Deliver(max int) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	if len(l.up) == 0 {
		gone := l.gone
		l.mu.Unlock()
		if gone {
			l.Cut()
		}
		return
	}
	p := l.up[0]
	if max > 0 && len(p.b) > max {
		l.part = append(l.part, p.b[:max]...)
		l.up[0].b = p.b[max:]
	} else {
		l.part = append(l.part, p.b...)
		l.up = l.up[1:]
	}
	l.mu.Unlock()
	l.carryOut()
}

func (l *Link) carryOut() {
	for !l.Ended() {
		args, n := readCommand(l.part)
		if n == 0 {
			return
		}
		l.part = l.part[n:]
		l.server.do(l, args)
	}
}

// Hand gives the client the first n parcels that are on their way to it.
func (l *Link) Hand(n int) {
	l.mu.Lock()
	n = min(n, len(l.down))
	var b []byte
	for _, p := range l.down[:n] {
		b = append(b, p.b...)
	}
	l.down = l.down[n:]
	l.mu.Unlock()
	if len(b) > 0 {
		l.Conn.hand(b)
	}
}

// Cut ends the connection. What is under way in either direction is lost.
func (l *Link) Cut() {
	l.mu.Lock()
	was := l.ended
	l.ended, l.up, l.down, l.part = true, nil, nil, nil
	l.mu.Unlock()
	if was {
		return
	}
	l.server.drop(l)
	l.Conn.end(errCut)
}

// send puts an answer or a message on the way to the client.
func (l *Link) send(b []byte) {
	l.mu.Lock()
	if !l.ended {
		l.down = append(l.down, parcel{b, time.Now()})
	}
	l.mu.Unlock()
}
