// Package scenario is what a run does: groups of subscribers and publishers, times, and
// the bounds that every run must keep, so that one that is started by mistake ends by
// itself. Preset has the named scenarios of the command line.
//
// It must not know how a load is made or measured. Its values are plain data: made by the
// command line, checked by package bench, and sent to the workers as JSON.
package scenario
