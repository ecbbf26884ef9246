//go:build linux

package tally

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Counts is what a worker counts. Workers' counts are added up; each field is a
// number of events since the start of the run.
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

func (c *Counts) Add(o Counts) {
	from := o.fields()
	for i, f := range c.fields() {
		*f += *from[i]
	}
}

// since is what was counted after an earlier state of the same counts.
func (c Counts) Since(before Counts) Counts {
	from := before.fields()
	for i, f := range c.fields() {
		*f -= *from[i]
	}
	return c
}

// Failures is the number of things that must not happen. A run with any is
// not a measurement, and the command's exit status says so.
func (c Counts) Failures() int64 {
	return c.ConnectFailed + c.PublishFailed + c.Lost + c.Duplicated + c.Reordered + c.Corrupt + c.Closed
}

// checker judges the sequence of what one worker's subscribers receive.
type Checker struct {
	*Counts
	missing map[uint64]struct{} // slot<<32|seq of gaps, to tell late from twice
}

func NewChecker(c *Counts) Checker { return Checker{Counts: c, missing: map[uint64]struct{}{}} }

// remembered bounds the gaps kept by seq; larger ones are still counted.
const remembered = 1 << 20

// sequence judges a message: next is the seq that the subscriber wants after it,
// and accounted for how many messages of its channel it settles: 1 when all is
// well, more when it reveals a gap, 0 when it was counted before.
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

// Histograms of times are in nanoseconds, up to ten minutes, to three digits.
const longestTime = 600e9

func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestTime, 3) }

func Record(h *hdrhistogram.Histogram, ns int64) {
	// Within the range RecordValue cannot fail.
	_ = h.RecordValue(min(max(ns, 1), longestTime))
}

func Encode(h *hdrhistogram.Histogram) ([]byte, error) {
	return h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// mergeHistograms decodes and adds up.
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
