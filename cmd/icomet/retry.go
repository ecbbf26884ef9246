package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"icomet/client"
)

const (
	leastWait = 500 * time.Millisecond
	mostWait  = 10 * time.Second
)

// retrying waits between the tries of a command that is to go on for long.
type retrying struct {
	place    *place
	stderr   io.Writer
	failures int // in a row
}

// wait returns err if another try would fail too, or that of ctx; otherwise it tells of
// err, and waits longer after each failure.
func (r *retrying) wait(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !client.Temporary(err) {
		return err
	}
	if r.place.failed(err); ctx.Err() != nil {
		return ctx.Err()
	}
	bound := min(mostWait, leastWait<<min(r.failures, 10))
	r.failures++
	wait := bound/2 + rand.N(bound/2)
	fmt.Fprintf(r.stderr, "icomet: %v; again in %v\n", err, wait.Round(100*time.Millisecond))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
