package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"icomet/client"
)

// refusedError: some of several channels were not followed, or not to their end.
type refusedError struct {
	count, of int
	last      error // why the last one was refused
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("%d of %d channels were refused", e.count, e.of)
}

func (e *refusedError) Unwrap() error { return e.last }

var errOutput = errors.New("standard output")

// follow prints messages until --count, or until no channel is left.
func (f *subFlags) follow(ctx context.Context, p *place, s *client.MultiSubscriber, stdout, stderr io.Writer) error {
	starts := s.Channels()
	tell := teller{w: stderr, many: len(starts) > 1, json: f.json, quiet: f.quiet, resumes: map[string]bool{}}
	for _, start := range starts {
		tell.resumes[start.Channel] = start.From != client.Position{}
	}
	s.OnPosition = func(channel string, r client.Recovery) {
		p.reached = true
		tell.position(channel, r)
	}
	s.OnError = func(err error, wait time.Duration) {
		if p.failed(err); ctx.Err() == nil && !f.quiet {
			fmt.Fprintf(stderr, "icomet: %v; again in %v\n", err, wait.Round(100*time.Millisecond))
		}
	}
	refused, refusal := []client.Start{}, error(nil)
	s.OnEnd = func(last client.Start, err error) {
		if tell.ended(last, err) {
			return
		}
		refused, refusal = append(refused, last), err
	}
	err := f.receive(ctx, s, tell.many, bufio.NewWriter(stdout))
	if errors.Is(err, errOutput) { // the last message is not out, so s is too far
		return err
	}
	tell.stopped(append(s.Channels(), refused...))
	if errors.Is(err, client.ErrEnded) || errors.Is(err, client.ErrClosed) || ctx.Err() != nil {
		err = nil
	}
	if tell.many && len(refused) > 0 && (err == nil || errors.Is(err, refusal)) {
		return &refusedError{len(refused), len(starts), refusal}
	}
	return err
}

func (f *subFlags) receive(ctx context.Context, s *client.MultiSubscriber, many bool, out *bufio.Writer) error {
	n := 0
	for m, err := range s.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := f.print(out, many, m); err != nil {
			return fmt.Errorf("%w: %w", errOutput, err)
		}
		if n++; n == f.count {
			break
		}
	}
	return nil
}

func (f *subFlags) print(out *bufio.Writer, many bool, m client.Message) error {
	switch {
	case f.json:
		if err := writeJSON(out, m); err != nil {
			return err
		}
	case many:
		fmt.Fprintf(out, "%s\t%s\n", column(m.Channel), printable(m.Content))
	default:
		fmt.Fprintln(out, printable(m.Content))
	}
	return out.Flush()
}

// writeJSON writes v on a line of its own, also for readers that end a line at any of
// Unicode's line ends: encoding/json escapes all of them but one.
func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(bytes.ReplaceAll(b.Bytes(), []byte("\u0085"), []byte(`\u0085`)))
	return err
}

// printable replaces control characters, so that a message cannot send control sequences
// to the terminal and stays on one line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case r == '\n', r == '\u2028', r == '\u2029':
			return '⏎'
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return '\ufffd'
		}
		return r
	}, text)
}

// column is printable text that ends where the tab after it stands.
func column(text string) string {
	return strings.ReplaceAll(printable(text), "\t", "\ufffd")
}
