package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"icomet/client"
)

// watcher prints the channels that come and go.
type watcher struct {
	admin  *client.Admin
	place  *place
	json   bool
	stdout io.Writer
	online map[string]bool // those that were printed as coming
}

// follow prints until ctx ends, over any number of connections.
func (w *watcher) follow(ctx context.Context, stderr io.Writer) error {
	again := retrying{place: w.place, stderr: stderr}
	for {
		broken := w.sweep(ctx)
		if broken == nil {
			for e, err := range w.admin.Presence(ctx) {
				if err != nil {
					broken = err
					break
				}
				again.failures, w.place.reached = 0, true
				if err := w.print(e); err != nil {
					return err
				}
			}
		}
		if err := again.wait(ctx, broken); err != nil {
			return err
		}
	}
}

// sweep prints the channels that went while there was no connection.
func (w *watcher) sweep(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(w.online)) {
		alive, err := w.admin.Alive(ctx, name)
		if err == nil && !alive {
			err = w.print(client.Presence{Channel: name})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) print(e client.Presence) error {
	if e.Online == w.online[e.Channel] {
		return nil // a repeat
	}
	sign := "+"
	if e.Online {
		w.online[e.Channel] = true
	} else {
		sign = "-"
		delete(w.online, e.Channel)
	}
	if w.json {
		return writeJSON(w.stdout, map[string]any{"cname": e.Channel, "online": e.Online})
	}
	_, err := fmt.Fprintf(w.stdout, "%s %s\n", sign, printable(e.Channel))
	return err
}
