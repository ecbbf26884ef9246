// Package continuity proves what the server says about continuity: whoever comes back is
// told that it has missed nothing only when that is so, how much it has missed where that
// can be known, and everything else once and in order.
//
// TestHistories does random things to servers and holds what every subscriber gets against
// a model (life_test.go) that knows all that was published. TestKilledUnderLoad kills a
// server in the middle of its work and compares what each client concludes for itself with
// what has really happened.
package continuity
