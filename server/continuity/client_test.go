package continuity

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"icomet/server/servertest"
)

// position is what a client knows: the life, and the message that it has to get next.
type position struct {
	epoch string // "": it knows nothing yet
	next  int64
}

// claim is what a client concludes, when it has come back, from what it is told.
type claim struct {
	before, after position
	lost          int64 // messages that it has missed for good; -1: that cannot be known
}

// follower is a client that comes and goes, always with what it had. It judges for itself
// what it has missed.
type follower struct {
	kind, addr, cname string
	s                 *scene
	position
	claims []claim
	ended  bool // it was told so
	rand   *rand.Rand
}

// errAgain says that it is to connect again.
var errAgain = errors.New("connect again")

// follow goes on until the channel has ended.
func (f *follower) follow() error {
	for deadline := time.Now().Add(5 * patience); ; {
		switch err := f.visit(); {
		case errors.Is(err, errWrong):
			return fmt.Errorf("%s of %s: %w", f.kind, f.cname, err)
		case f.ended:
			return f.comeBack()
		case time.Now().After(deadline):
			return fmt.Errorf("%s of %s does not come to the end, it is at %+v: %w", f.kind, f.cname, f.position, err)
		}
	}
}

// connect asks with what it had.
func (f *follower) connect() (*servertest.Listener, error) {
	query, id := "cname="+f.cname, ""
	switch {
	case !strings.HasSuffix(f.kind, "sse"):
		query += fmt.Sprintf("&seq=%d&epoch=%s", f.next, f.epoch)
	case f.epoch != "": // as a browser does
		id = f.epoch + "-" + itoa(f.next-1)
	}
	return servertest.Listen(f.addr, f.kind, query, id)
}

// visit is one connection.
func (f *follower) visit() error {
	l, err := f.connect()
	if err != nil {
		f.s.breathe() // the server is away
		return err
	}
	defer l.Close()
	if l.Status == 204 && f.kind == "rawsse" {
		f.s.breathe() // the channel is not there yet: nobody has published since
		return errAgain
	}
	stay := 1 + f.rand.IntN(60)
	for first := true; ; first = false {
		es, err := l.Events()
		if err != nil {
			f.ended = f.ended || err == io.EOF && f.kind == "rawsse"
			return err
		}
		if first && len(es) > 0 && (f.kind == "stream" || f.kind == "iframe") && es[0].Type != "position" {
			return fmt.Errorf("%w: begins with %s", errWrong, show(es))
		}
		last := ""
		for i := range es {
			if err := f.take(&es[i], first && i == 0); err != nil {
				return fmt.Errorf("%w: %w in %s", errWrong, err, show(es))
			}
			last = es[i].Content
		}
		if stay -= len(es); f.ended || l.Polls() || stay <= 0 && last != lastContent {
			break
		}
	}
	if !f.ended && stay <= 0 {
		f.s.stayAway(f)
	}
	return errAgain
}

// take takes one event; begins says that it is the first of a connection.
func (f *follower) take(e *servertest.Event, begins bool) error {
	at := position{f.epoch, e.Seq}
	if epoch, seq, found := strings.Cut(e.ID, "-"); found {
		n, err := strconv.ParseInt(seq, 10, 64)
		if err != nil {
			return err
		}
		at = position{epoch, n}
	}
	if f.kind == "rawsse" && e.Type == "" {
		e.Type = "data"
	}
	switch e.Type {
	case "noop":
		return nil
	case "position":
		return f.told(e, begins)
	case "end":
		f.ended = true
		if e.Seq != f.next {
			return fmt.Errorf("the end at %d, after %+v", e.Seq, f.position)
		}
		return nil
	case "next_seq":
		if f.epoch != "" {
			return fmt.Errorf("next_seq for who has %+v", f.position)
		}
		f.position = position{at.epoch, e.Seq}
		return nil
	case "data":
	default:
		return fmt.Errorf("unexpected %+v", e)
	}
	if f.epoch == "" && f.kind == "rawsse" {
		f.position = at // its first message
	}
	if begins {
		f.conclude(at)
	}
	if at != f.position {
		return fmt.Errorf("%+v for who has %+v", at, f.position)
	}
	f.next++
	return f.s.see(f.cname, at, e.Content)
}

// told takes a position message, also one that a browser gets as event "lost".
func (f *follower) told(e *servertest.Event, begins bool) error {
	after := position{e.Epoch, e.Seq}
	if !begins {
		return fmt.Errorf("a position in the middle: %+v", e)
	}
	if f.kind == "sse" && (e.Name != "lost" || e.Recovered) {
		return fmt.Errorf("not as browsers get it: %+v", e)
	}
	if f.epoch != "" {
		if e.Recovered != (e.Reason == "") || e.Recovered && e.Lost != 0 {
			return fmt.Errorf("contradicts itself: %+v", e)
		}
		f.claims = append(f.claims, claim{f.position, after, e.Lost})
	}
	f.position = after
	return nil
}

// conclude is for who has come back and is not told anything before its first message.
func (f *follower) conclude(at position) {
	c := claim{before: f.position, after: at}
	if f.kind == "rawsse" { // it has the ids to judge by
		if c.lost = at.next - f.next; at.epoch != f.epoch {
			c.lost = -1
		}
		f.position = at
	}
	f.claims = append(f.claims, c)
}

// comeBack is what a browser does after the end: it is told to stop.
func (f *follower) comeBack() error {
	if !strings.HasSuffix(f.kind, "sse") {
		return nil
	}
	l, err := f.connect()
	if err != nil {
		return err
	}
	defer l.Close()
	if l.Status != 204 {
		return fmt.Errorf("%s of %s comes back behind the end: status %d, want 204", f.kind, f.cname, l.Status)
	}
	return nil
}
