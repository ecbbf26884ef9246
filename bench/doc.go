// Package bench is the load harness: it opens many subscriptions to a push
// server, publishes, checks every message that comes back, and tells what it
// cost the server. It measures from outside, over real sockets, and never
// imports the server. cmd/icomet-bench is its command line.
//
// Who runs where. The coordinator (Run, in coordinate.go) starts the server and
// the workers, decides when each phase begins, samples the server's /proc
// entries and merges the results. A worker owns everything that touches
// sockets: one operating system thread around one epoll descriptor, no
// goroutine per connection, no lock. With one process the worker is a goroutine
// of the coordinator's process; with -procs K it is the same code in K child
// processes, spoken to by lines of JSON (procs.go). The two only exchange
// command and event values.
//
// Every time in the package is CLOCK_MONOTONIC in nanoseconds, the same in all
// processes of a machine, so that a message sent by one worker can be timed by
// another.
//
// Load goes to 127.0.0.0/8 only, and is bounded in count and time.
package bench
