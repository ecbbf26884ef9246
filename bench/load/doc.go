// Package load is the load engine. A worker opens its share of the subscriptions and
// publishing connections, drives them, and checks every message that arrives.
//
// A worker is one operating system thread around one epoll descriptor: no goroutine per
// connection, no lock (with TLS, both for the time of a handshake). StartLocal runs one in this process; StartProcesses runs each in a
// child process, which executes this program with WorkerCommand and speaks lines of JSON.
// The coordinator (package bench) and a worker exchange only Command and Event values.
//
// All times are CLOCK_MONOTONIC in nanoseconds, the same in all processes of a machine:
// a message sent by one worker can be timed by another.
//
// It must not know how servers are started, nor how results are shown.
package load
