package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"icomet/client"
)

func newInfo(p *place) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info [CHANNEL]",
		Short: "Show the totals, or one channel",
		Example: `  icomet info
  icomet info news --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := p.adminClient()
			if err != nil {
				return err
			}
			rows, err := infoRows(cmd.Context(), admin, args)
			if err != nil {
				return err
			}
			return printRows(cmd.OutOrStdout(), rows, asJSON)
		},
	}
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print JSON")
	return cmd
}

// row is one line of a table of names and values.
type row struct {
	name  string
	value any
}

func infoRows(ctx context.Context, admin *client.Admin, args []string) ([]row, error) {
	if len(args) == 0 {
		t, err := admin.Totals(ctx)
		return []row{{"version", t.Version}, {"channels", t.Channels}, {"subscribers", t.Subscribers}}, err
	}
	alive, err := admin.Alive(ctx, args[0])
	if err != nil {
		return nil, err
	}
	n, err := admin.Subscribers(ctx, args[0])
	return []row{{"channel", args[0]}, {"alive", alive}, {"subscribers", n}}, err
}

func printRows(w io.Writer, rows []row, asJSON bool) error {
	if asJSON {
		m := map[string]any{}
		for _, r := range rows {
			m[r.name] = r.value
		}
		return json.NewEncoder(w).Encode(m)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%v\n", r.name, printable(fmt.Sprint(r.value)))
	}
	return t.Flush()
}

// channelsFlags are those of icomet channels.
type channelsFlags struct {
	watch bool
	json  bool
	limit int
	wait  time.Duration
}

func newChannels(p *place) *cobra.Command {
	var f channelsFlags
	cmd := &cobra.Command{
		Use:   "channels",
		Short: "List the channels, or watch them come and go",
		Long: `List the channels and their subscribers, those with the most first.

The names come from the server's presence stream, which names every channel once
in its channel_timeout (30 s by default): the list is complete when as many have
been heard of as there are, or after --wait. With --watch each coming (+) and going
(-) is printed as it happens.`,
		Example: `  icomet channels
  icomet channels --limit 1000 --json
  icomet channels --watch`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := p.adminClient()
			if err != nil {
				return err
			}
			if f.watch {
				return f.follow(cmd.Context(), admin, cmd.OutOrStdout())
			}
			return f.list(cmd.Context(), admin, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.watch, "watch", "w", false, "print changes until Ctrl-C")
	flags.BoolVarP(&f.json, "json", "j", false, "print JSON, one object a line")
	flags.IntVarP(&f.limit, "limit", "n", 100, "list at most so many")
	flags.DurationVar(&f.wait, "wait", 35*time.Second, "how long to listen for names")
	return cmd
}

func (f *channelsFlags) follow(ctx context.Context, admin *client.Admin, stdout io.Writer) error {
	online := map[string]bool{}
	for e, err := range admin.Presence(ctx) {
		if err != nil {
			return err
		}
		if e.Online == online[e.Channel] {
			continue // said again
		}
		sign := "+"
		if online[e.Channel] = e.Online; !e.Online {
			sign = "-"
			delete(online, e.Channel)
		}
		if f.json {
			if err := json.NewEncoder(stdout).Encode(map[string]any{"cname": e.Channel, "online": e.Online}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(stdout, "%s %s\n", sign, printable(e.Channel))
	}
	return nil
}

// listed is a channel of the list.
type listed struct {
	Channel     string `json:"cname"`
	Subscribers int64  `json:"subscribers"`
}

func (f *channelsFlags) list(ctx context.Context, admin *client.Admin, stdout, stderr io.Writer) error {
	totals, err := admin.Totals(ctx)
	if err != nil {
		return err
	}
	want := min(totals.Channels, int64(f.limit))
	names, err := f.hear(ctx, admin, want)
	if err != nil {
		return err
	}
	list, err := count(ctx, admin, names)
	if err != nil {
		return err
	}
	if f.json {
		for _, c := range list {
			if err := json.NewEncoder(stdout).Encode(c); err != nil {
				return err
			}
		}
	} else {
		t := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "SUBSCRIBERS\t  CHANNEL")
		for _, c := range list {
			fmt.Fprintf(t, "%d\t  %s\n", c.Subscribers, printable(c.Channel))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if n := int64(len(list)); n < totals.Channels {
		fmt.Fprintf(stderr, "icomet: %d of %d channels; see --limit and --wait\n", n, totals.Channels)
	}
	return nil
}

// hear collects the names of want channels, as far as they come in time.
func (f *channelsFlags) hear(ctx context.Context, admin *client.Admin, want int64) ([]string, error) {
	if want == 0 {
		return nil, nil
	}
	timed, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	online := map[string]bool{}
	for e, err := range admin.Presence(timed) {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			break
		}
		if err != nil {
			return nil, err
		}
		if e.Online {
			online[e.Channel] = true
		} else {
			delete(online, e.Channel)
		}
		if int64(len(online)) >= want {
			break
		}
	}
	names := make([]string, 0, len(online))
	for name := range online {
		names = append(names, name)
	}
	return names, nil
}

// countAtOnce is how many channels are asked for at a time.
const countAtOnce = 8

// count asks for the subscribers of each, and sorts.
func count(ctx context.Context, admin *client.Admin, names []string) ([]listed, error) {
	list := make([]listed, len(names))
	errs := make([]error, countAtOnce)
	var workers sync.WaitGroup
	for w := range countAtOnce {
		workers.Go(func() {
			for i := w; i < len(names) && errs[w] == nil; i += countAtOnce {
				list[i].Channel = names[i]
				list[i].Subscribers, errs[w] = admin.Subscribers(ctx, names[i])
			}
		})
	}
	workers.Wait()
	slices.SortFunc(list, func(a, b listed) int {
		if a.Subscribers != b.Subscribers {
			return int(b.Subscribers - a.Subscribers)
		}
		return strings.Compare(a.Channel, b.Channel)
	})
	return list, errors.Join(errs...)
}
