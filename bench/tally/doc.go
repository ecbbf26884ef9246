// Package tally is what a run counts and times: Counts, the check of a subscription's
// sequence, and latency histograms, with the sums over several workers.
//
// It must not know where a message comes from. A worker counts on its own thread; the
// coordinator adds up copies on its goroutine. Nothing here is shared or locked.
package tally
