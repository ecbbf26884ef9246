package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

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
		Args: oneChannelAtMost,
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
	return []row{{"cname", args[0]}, {"alive", alive}, {"subscribers", n}}, err
}

func printRows(w io.Writer, rows []row, asJSON bool) error {
	if asJSON {
		m := map[string]any{}
		for _, r := range rows {
			m[r.name] = r.value
		}
		return writeJSON(w, m)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%v\n", r.name, printable(fmt.Sprint(r.value)))
	}
	return t.Flush()
}
