package continuity

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"icomet/server/servertest"
)

// sub is a subscriber: what it may get and what it got.
type sub struct {
	*servertest.Listener
	asked string
	node  int
	cases []seen // each is right
	end   ending
	noop  []servertest.Event // what a waiting poll gets when the server leaves

	mu   sync.Mutex
	got  []servertest.Event
	err  error
	over bool
	done sync.WaitGroup
}

// seen is what a subscriber gets at once, and what comes then. A poll gets the one, or one
// or more of the other, each whole.
type seen struct {
	first []servertest.Event
	live  [][]servertest.Event
}

// ending is how a response ends.
type ending string

const (
	open    ending = ""        // it does not
	clean   ending = "clean"   // by the protocol
	cut     ending = "cut"     // the server or the subscriber has gone: it has a beginning of all
	drained ending = "drained" // the server has gone when it had everything
)

// listen reads in the background until the response, of a poll its answer, is over.
func (s *sub) listen() {
	s.done.Go(func() {
		for {
			es, err := s.Events()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				continue // a history may be longer than a read may take; settle says when it is too late
			}
			s.mu.Lock()
			s.got = append(s.got, es...)
			if err != nil || s.Polls() {
				s.err, s.over = err, true
			}
			over := s.over
			s.mu.Unlock()
			if over {
				return
			}
		}
	})
}

// waits reports that it is still a subscriber of the server's as far as is known.
func (s *sub) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end == open && !(s.Polls() && s.over)
}

// tell adds what it has to get.
func (s *sub) tell(es []servertest.Event) {
	if s.end != open {
		return
	}
	for i := range s.cases {
		s.cases[i].tell(s.Kind, es)
	}
}

func (c *seen) tell(kind string, es []servertest.Event) {
	if shown := seenAs(kind, es); len(shown) > 0 {
		c.live = append(c.live, shown)
	}
}

// errWrong is for what no waiting can mend.
var errWrong = errors.New("wrong")

var errMissing = errors.New("something is missing")

// check fails while something is missing, and with errWrong when something is wrong.
func (s *sub) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errWrong
	for i := range s.cases {
		compare := s.compare
		if s.Polls() {
			compare = s.comparePoll
		}
		switch e := compare(&s.cases[i]); e {
		case nil:
			return nil
		case errMissing:
			err = e
		}
	}
	return fmt.Errorf("%s: %w\ngot %s (over %v, %v)\nwant %s, end %q", s.asked, err, show(s.got), s.over, s.err, s.wanted(), s.end)
}

func (s *sub) compare(c *seen) error {
	want := slices.Concat(append([][]servertest.Event{c.first}, c.live...)...)
	n := len(s.got)
	switch {
	case n > len(want) || !slices.Equal(s.got, want[:n]), s.over && s.end == open:
		return errWrong
	case s.end == cut && s.over, n == len(want) && s.end == open:
		return nil
	case !s.over:
		return errMissing
	case n < len(want), s.end == clean && s.err != io.EOF, s.end == drained && s.err == io.EOF && s.Kind != "stream10":
		return errWrong
	}
	return nil
}

func (s *sub) comparePoll(c *seen) error {
	switch {
	case !s.over && (len(c.first) > 0 || len(c.live) > 0 || s.end != open):
		return errMissing
	case !s.over, s.end == cut && s.err != nil:
		return nil
	case s.err != nil:
		return errWrong
	case len(c.first) > 0:
		if slices.Equal(s.got, c.first) {
			return nil
		}
		return errWrong
	case s.end == drained && len(c.live) == 0 && slices.Equal(s.got, s.noop):
		return nil
	}
	var want []servertest.Event
	for _, group := range c.live {
		if want = append(want, group...); slices.Equal(s.got, want) {
			return nil
		}
	}
	return errWrong
}

func (s *sub) wanted() string {
	var b strings.Builder
	for _, c := range s.cases {
		fmt.Fprintf(&b, "\n  first %s, then %s", show(c.first), show(slices.Concat(c.live...)))
	}
	return b.String()
}

// show is short: contents can be long.
func show(es []servertest.Event) string {
	var b strings.Builder
	for _, e := range es {
		fmt.Fprintf(&b, "[%s %d %.20q", e.Type, e.Seq, e.Content)
		if e.Type == "position" {
			fmt.Fprintf(&b, " %s recovered %v lost %d %s", e.Epoch, e.Recovered, e.Lost, e.Reason)
		}
		fmt.Fprintf(&b, " %s %s]", e.Name, e.ID)
	}
	return b.String()
}

// hangUp leaves; what it has got until then is a beginning of what it was to get.
func (s *sub) hangUp() error {
	if s.end == open {
		s.end = cut
	}
	_ = s.Close()
	s.done.Wait()
	if s.end != cut {
		return nil
	}
	return s.check()
}
