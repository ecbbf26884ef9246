// Package bench runs one load against one target: Run starts the servers and the
// workers, decides when each phase begins, samples the servers' /proc entries, and merges
// what the workers found into a report.Result. cmd/icomet-bench is the command line.
//
// It must not know how a message is sent, checked or shown. The rooms, from the bottom:
// protocol (bytes on the wire), tally (counts, histograms), procstat (/proc), scenario
// (what a run does), load (the workers), target (the servers), report (text and HTML),
// bench, and on top redis and cluster. README.md shows the flow.
//
// Run may be called from any goroutine; it calls watch from the same one. The harness
// measures from outside, over real sockets, and never imports the server.
package bench
