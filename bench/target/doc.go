// Package target starts the servers that are measured, waits until they listen, and stops
// them: a command line, several nodes of one, nchan, the ceiling (ceiling.c), or servers
// that run already. It also starts the Redis that nodes share, and reads /stats.
//
// It must not know which load they get. Start and Stop are called from the goroutine that
// coordinates a run; one goroutine for each started process follows its log.
package target
