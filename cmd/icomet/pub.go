package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"icomet/client"
)

func newPub(p *place) *cobra.Command {
	var encoded bool
	cmd := &cobra.Command{
		Use:     "pub CHANNEL TEXT",
		Aliases: []string{"publish", "push"},
		Short:   "Publish to a channel",
		Long: `Publish a text to a channel. With - as the text each line of standard input is
published as a message of its own, in order. While the server is away, it waits and
tries again; a line whose answer was lost in between may so be published twice.`,
		Example: `  icomet pub news 'hello'
  icomet pub news "$(cat page.html)"
  tail -f /var/log/syslog | icomet pub log -
  icomet pub news --encoded 'a \"quoted\" word'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("want CHANNEL and TEXT; quote a text with spaces, or give - to read lines from standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := p.adminClient()
			if err != nil {
				return err
			}
			publish := admin.Push
			if encoded {
				publish = admin.Pub
			}
			if args[1] != "-" {
				return publish(cmd.Context(), args[0], args[1])
			}
			l := lines{
				publish: func(ctx context.Context, line string) error { return publish(ctx, args[0], line) },
				stderr:  cmd.ErrOrStderr(), encoded: encoded,
			}
			return l.copy(cmd.Context(), cmd.InOrStdin())
		},
	}
	cmd.Flags().BoolVar(&encoded, "encoded", false, "the text is already the inside of a JSON string")
	return cmd
}

func newBroadcast(p *place) *cobra.Command {
	return &cobra.Command{
		Use:     "broadcast TEXT",
		Short:   "Publish to every channel",
		Example: `  icomet broadcast 'maintenance at noon'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("want one TEXT; quote a text with spaces")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := p.adminClient()
			if err != nil {
				return err
			}
			return admin.Broadcast(cmd.Context(), args[0])
		},
	}
}

func newSign(p *place) *cobra.Command {
	var expires time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sign CHANNEL",
		Short: "Create a channel and print its token",
		Example: `  icomet sign news
  icomet sub news --token "$(icomet sign news --expires 5m)"`,
		Args: oneChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			if expires < 0 || expires > 0 && expires < time.Second {
				return errors.New("--expires: want at least 1s")
			}
			admin, err := p.adminClient()
			if err != nil {
				return err
			}
			s, err := admin.Sign(cmd.Context(), args[0], expires)
			if err != nil {
				return err
			}
			if !asJSON {
				fmt.Fprintln(cmd.OutOrStdout(), s.Token)
				return nil
			}
			return writeJSON(cmd.OutOrStdout(), map[string]any{
				"cname": s.Channel, "seq": s.Seq, "token": s.Token,
				"expires": s.Expires.Seconds(), "sub_timeout": s.Silence.Seconds(),
			})
		},
	}
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long the channel waits for a subscriber, like 90s or 5m (default: the server's channel_timeout)")
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print all that the server says")
	return cmd
}

// newControl makes the commands close and clear.
func newControl(p *place) []*cobra.Command {
	call := func(f func(*client.Admin, context.Context, string) (int64, error)) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			admin, err := p.adminClient()
			if err != nil {
				return err
			}
			next, err := f(admin, cmd.Context(), args[0])
			if status, ok := errors.AsType[*client.StatusError](err); ok && strings.HasPrefix(status.Text, "channel[") {
				return fmt.Errorf("there is no channel %q", args[0])
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ok, the next message is number %d\n", next)
			return nil
		}
	}
	return []*cobra.Command{
		{
			Use: "close CHANNEL", Short: "End a channel's subscribers and free it",
			Example: "  icomet close news", Args: oneChannel, RunE: call((*client.Admin).Close),
		},
		{
			Use: "clear CHANNEL", Short: "Drop a channel's stored messages",
			Example: "  icomet clear news", Args: oneChannel, RunE: call((*client.Admin).Clear),
		},
	}
}
