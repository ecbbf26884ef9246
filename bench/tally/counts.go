//go:build linux

package tally

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Counts is what a worker counts: each field is a number of events since the start of the
// run. The counts of several workers are added up.
type Counts struct {
	Connected     int64 `json:"connected"`      // subscriptions that came up
	Sent          int64 `json:"sent"`           // publish requests
	Answered      int64 `json:"answered"`       // of them, answered ok
	Refused       int64 `json:"refused"`        // publishes and subscriptions refused as overload, and sent again
	Deliveries    int64 `json:"deliveries"`     // right messages, each once per subscriber
	Noops         int64 `json:"noops"`          // heartbeats
	Cycles        int64 `json:"cycles"`         // churn: subscriptions that got their message and left
	SlowCut       int64 `json:"slow_cut"`       // slow readers that the server cut off
	ConnectFailed int64 `json:"connect_failed"` // subscriptions that never came up
	PublishFailed int64 `json:"publish_failed"` // publish requests not answered ok
	Lost          int64 `json:"lost"`           // messages that a subscriber never got
	Duplicated    int64 `json:"duplicated"`     // messages that came again
	Reordered     int64 `json:"reordered"`      // messages that came after a later one
	Corrupt       int64 `json:"corrupt"`        // bytes or content not as published
	Closed        int64 `json:"closed"`         // subscriptions that the server ended
}

func (c *Counts) fields() []*int64 {
	return []*int64{&c.Connected, &c.Sent, &c.Answered, &c.Refused, &c.Deliveries, &c.Noops, &c.Cycles, &c.SlowCut,
		&c.ConnectFailed, &c.PublishFailed, &c.Lost, &c.Duplicated, &c.Reordered, &c.Corrupt, &c.Closed}
}

// Add adds another worker's counts to c.
func (c *Counts) Add(o Counts) {
	from := o.fields()
	for i, f := range c.fields() {
		*f += *from[i]
	}
}

// Since returns what was counted after before, an earlier state of the same counts.
func (c Counts) Since(before Counts) Counts {
	from := before.fields()
	for i, f := range c.fields() {
		*f -= *from[i]
	}
	return c
}

// Failures returns the number of events that must not happen. A run with any is not a
// measurement; the command's exit status is then 1.
func (c Counts) Failures() int64 {
	return c.ConnectFailed + c.PublishFailed + c.Lost + c.Duplicated + c.Reordered + c.Corrupt + c.Closed
}

// Checker checks the sequence of the messages that one worker's subscribers receive, and
// counts into Counts.
type Checker struct {
	*Counts
	missing map[uint64]struct{} // slot<<32|seq of gaps: one that arrives later is late, not a duplicate
}

// NewChecker returns a checker that counts into c and remembers no gap.
func NewChecker(c *Counts) Checker { return Checker{Counts: c, missing: map[uint64]struct{}{}} }

// remembered bounds missing. What is lost beyond it is counted, but not recognised when it
// arrives late.
const remembered = 1 << 20

// Sequence counts a message with seq got at the subscriber in slot, which wants seq want.
// next is the seq that the subscriber wants after it. accounted is how many messages of the
// channel it settles: 1 when all is well, more when it reveals a gap, 0 when it was
// counted before.
func (k *Checker) Sequence(slot, want, got uint32) (next, accounted uint32) {
	key := func(seq uint32) uint64 { return uint64(slot)<<32 | uint64(seq) }
	switch {
	case got == want:
		k.Deliveries++
		return got + 1, 1
	case got > want:
		k.Deliveries++
		k.Lost += int64(got - want)
		for seq := want; seq < got && len(k.missing) < remembered; seq++ {
			k.missing[key(seq)] = struct{}{}
		}
		return got + 1, got - want + 1
	}
	if _, late := k.missing[key(got)]; late {
		delete(k.missing, key(got))
		k.Deliveries++
		k.Lost--
		k.Reordered++
	} else {
		k.Duplicated++
	}
	return want, 0
}

const longestTime = 600e9 // ns

// NewHistogram returns an empty histogram of times: nanoseconds, 1 to ten minutes, to
// three digits.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestTime, 3) }

// Record counts a time of ns nanoseconds. One outside of the range counts as its limit.
func Record(h *hdrhistogram.Histogram, ns int64) {
	// Within the range RecordValue cannot fail.
	_ = h.RecordValue(min(max(ns, 1), longestTime))
}

// Encode returns a histogram as HdrHistogram V2, compressed.
func Encode(h *hdrhistogram.Histogram) ([]byte, error) {
	return h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// Merge decodes what Encode returned for each worker, and adds it up. The error says which
// bytes are not a histogram.
func Merge(encoded ...[]byte) (*hdrhistogram.Histogram, error) {
	sum := NewHistogram()
	for _, b := range encoded {
		h, err := hdrhistogram.Decode(b)
		if err != nil {
			return nil, fmt.Errorf("histogram of a worker: %w", err)
		}
		sum.Merge(h)
	}
	return sum, nil
}
