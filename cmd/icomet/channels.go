package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"icomet/client"
)

// channelsFlags are the flags of icomet channels.
type channelsFlags struct {
	search string
	sort   string
	limit  int
	json   bool
	watch  bool
}

func newChannels(p *place) *cobra.Command {
	var f channelsFlags
	cmd := &cobra.Command{
		Use:   "channels",
		Short: "List the channels, or watch them come and go",
		Long: `List the channels, those with the most subscribers first. Of several servers on one
Redis it is the list of the one that is asked.

Each line has the subscribers, the messages stored, the number of the next message and
the name; sorted by rate also the messages a second, which takes a second to measure.
With --watch each coming (+) and going (-) is printed as it happens; channels that are
there already are told of within the server's channel_timeout. While the server is
away, it waits and tries again.`,
		Example: `  icomet channels
  icomet channels --search room/ --sort rate --limit 20
  icomet channels --limit 1000 --json
  icomet channels --watch`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := exclusive(cmd, "watch", "search", "sort", "limit"); err != nil {
				return err
			}
			switch {
			case !slices.Contains(client.ChannelSorts, f.sort):
				return fmt.Errorf("--sort %s: want %s", f.sort, strings.Join(client.ChannelSorts, ", "))
			case f.limit < 1 || f.limit > client.MaxChannels:
				return fmt.Errorf("--limit: want 1 to %d", client.MaxChannels)
			}
			admin, err := p.adminClient()
			if err != nil {
				return err
			}
			if f.watch {
				w := watcher{admin: admin, place: p, json: f.json, stdout: cmd.OutOrStdout(), online: map[string]bool{}}
				return w.follow(cmd.Context(), cmd.ErrOrStderr())
			}
			return f.list(cmd.Context(), admin, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.search, "search", "s", "", "only those with this in their name, in small or capital letters")
	flags.StringVar(&f.sort, "sort", client.ChannelSorts[0], strings.Join(client.ChannelSorts, ", "))
	flags.IntVarP(&f.limit, "limit", "n", 100, fmt.Sprintf("list at most so many, 1 to %d", client.MaxChannels))
	flags.BoolVarP(&f.json, "json", "j", false, "print JSON, one object a line")
	flags.BoolVarP(&f.watch, "watch", "w", false, "print changes until Ctrl-C")
	completeWords(cmd, "sort", client.ChannelSorts)
	return cmd
}

func (f *channelsFlags) list(ctx context.Context, admin *client.Admin, stdout, stderr io.Writer) error {
	list, matched, err := admin.Channels(ctx, client.ChannelQuery{Search: f.search, Sort: f.sort, Limit: f.limit})
	if err != nil {
		return err
	}
	if f.json {
		err = f.encode(stdout, list)
	} else {
		err = f.table(stdout, list)
	}
	if err != nil {
		return err
	}
	if int64(len(list)) < matched {
		fmt.Fprintf(stderr, "icomet: %d of %d channels; see --limit and --search\n", len(list), matched)
	}
	return nil
}

func (f *channelsFlags) encode(stdout io.Writer, list []client.ChannelInfo) error {
	for _, c := range list {
		line := struct {
			Channel     string   `json:"cname"`
			Subscribers int64    `json:"subscribers"`
			Stored      int64    `json:"stored"`
			Next        int64    `json:"next"`
			Rate        *float64 `json:"rate,omitempty"`
		}{c.Name, c.Subscribers, c.Stored, c.Next, nil}
		if f.byRate() {
			line.Rate = &c.Rate
		}
		if err := writeJSON(stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func (f *channelsFlags) table(stdout io.Writer, list []client.ChannelInfo) error {
	t := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	rate := func(text string) string {
		if !f.byRate() {
			return ""
		}
		return text + "\t"
	}
	fmt.Fprintf(t, "SUBSCRIBERS\t%sSTORED\tNEXT\t  CHANNEL\n", rate("MSG/S"))
	for _, c := range list {
		fmt.Fprintf(t, "%d\t%s%d\t%d\t  %s\n", c.Subscribers, rate(short(c.Rate, 1000, "")), c.Stored, c.Next, printable(c.Name))
	}
	return t.Flush()
}

func (f *channelsFlags) byRate() bool { return f.sort == "rate" }
