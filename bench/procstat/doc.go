// Package procstat reads CPU time, memory and descriptors of processes from /proc.
//
// It must not know what the processes do. Everything is read anew on each call, by any
// goroutine.
package procstat
