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

// noChannel says in our words that a channel does not exist.
func noChannel(err error, channel string) error {
	if status, ok := errors.AsType[*client.StatusError](err); ok && strings.HasPrefix(status.Text, "channel[") {
		return fmt.Errorf("there is no channel %q", channel)
	}
	return err
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
			if err != nil {
				return noChannel(err, args[0])
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

func newEnd(p *place) *cobra.Command {
	var f pubFlags
	cmd := &cobra.Command{
		Use:   "end CHANNEL [TEXT]",
		Short: "End a channel, after a last message if there is one",
		Long: `End a channel: its subscribers get what is stored, then the end, and come back no
more. Nobody can publish to it. It lives on as long as one without subscribers,
so that those who are away can come for the rest; icomet close frees it at once.

With TEXT, that is published as the last message, in the same step.`,
		Example: `  icomet end answer-17
  icomet end answer-17 'the last word'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 {
				return fmt.Errorf("%q is too much: want CHANNEL and perhaps TEXT; quote a text with spaces", args[2])
			}
			return oneChannel(cmd, args[:min(len(args), 1)])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := p.retryingClient(cmd)
			if err != nil {
				return err
			}
			if err := checkID(cmd, f.id); err != nil {
				return err
			}
			var next int64
			switch {
			case len(args) == 2:
				next, err = admin.PublishEnd(cmd.Context(), client.Publication{Channel: args[0], Content: args[1], Encoded: f.encoded, ID: f.id})
			case f.id != "" || f.encoded:
				return errors.New("--id and --encoded are for the last message: which TEXT?")
			default:
				next, err = admin.End(cmd.Context(), args[0])
			}
			if err != nil {
				return noChannel(err, args[0])
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ok, its last message was number %d\n", next-1)
			return nil
		},
	}
	cmd.Flags().BoolVar(&f.encoded, "encoded", false, "the text is already the inside of a JSON string")
	cmd.Flags().StringVar(&f.id, "id", "", "publish the text once, by this id, and try again until the server has answered")
	return cmd
}
