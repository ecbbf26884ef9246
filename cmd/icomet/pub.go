package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"icomet/client"
)

// pubFlags are the flags of icomet pub.
type pubFlags struct {
	encoded  bool
	id       string
	ifSeq    string
	position bool
}

func newPub(p *place) *cobra.Command {
	var f pubFlags
	cmd := &cobra.Command{
		Use:     "pub CHANNEL TEXT",
		Aliases: []string{"publish", "push"},
		Short:   "Publish to a channel",
		Long: `Publish a text to a channel.

With --id the server publishes it once, however often the command is repeated,
and the command itself tries again until the server has answered. The server
remembers the ids of a channel's last messages (front.id_window, at least 64).

With --if-seq it is published only if it gets that number, so that of several
writers one wins; the others get an error that says where the channel is.

With - as the text each line of standard input is published as a message of its
own, in order. While the server is away, it waits and tries again, and each line
is published once. (The memory engine loses its ids with its messages: a line
that it had, but could not answer for, comes again after its restart.)`,
		Example: `  icomet pub news 'hello'
  icomet pub news "$(cat page.html)"
  tail -f /var/log/syslog | icomet pub log -
  icomet pub orders "$order" --id "order-$number"
  icomet pub game 'e4' --if-seq 9f86d081-1 --position
  icomet pub news --encoded 'a \"quoted\" word'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("want CHANNEL and TEXT; quote a text with spaces, or give - to read lines from standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := p.retryingClient(cmd)
			if err != nil {
				return err
			}
			if args[1] != "-" {
				return f.publish(cmd, admin, args[0], args[1])
			}
			for _, name := range []string{"id", "if-seq", "position"} {
				if cmd.Flags().Changed(name) {
					return fmt.Errorf("--%s is for one text; each line of standard input gets an id of its own", name)
				}
			}
			l := lines{admin: admin, place: p, channel: args[0], encoded: f.encoded, stderr: cmd.ErrOrStderr()}
			return l.copy(cmd.Context(), cmd.InOrStdin())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.encoded, "encoded", false, "the text is already the inside of a JSON string")
	flags.StringVar(&f.id, "id", "", "publish it once, by this id: 1 to 64 letters, digits and signs")
	flags.StringVar(&f.ifSeq, "if-seq", "", "publish only if it becomes message SEQ, or message EPOCH-SEQ")
	flags.BoolVarP(&f.position, "position", "p", false, "print the message's position, EPOCH-SEQ")
	return cmd
}

// retryingClient is an admin client that tells on standard error when it tries again.
func (p *place) retryingClient(cmd *cobra.Command) (*client.Admin, error) {
	admin, err := p.adminClient()
	if err != nil {
		return nil, err
	}
	stderr := cmd.ErrOrStderr()
	admin.OnError = func(err error, wait time.Duration) {
		if p.failed(err); cmd.Context().Err() == nil {
			fmt.Fprintf(stderr, "icomet: %v; again in %v\n", err, wait.Round(100*time.Millisecond))
		}
	}
	return admin, nil
}

func (f *pubFlags) publish(cmd *cobra.Command, admin *client.Admin, channel, text string) error {
	p := client.Publication{Channel: channel, Content: text, Encoded: f.encoded, ID: f.id}
	if err := checkID(cmd, f.id); err != nil {
		return err
	}
	if cmd.Flags().Changed("if-seq") {
		var err error
		if p.Epoch, p.IfSeq, err = parseIfSeq(f.ifSeq); err != nil {
			return err
		}
	}
	done, err := admin.Publish(cmd.Context(), p)
	if err != nil {
		return err
	}
	if done.Duplicate {
		fmt.Fprintf(cmd.ErrOrStderr(), "icomet: a message with this id is there already: %s; nothing was published\n", done.Position)
	}
	if !f.position {
		return nil
	}
	if done.Position == (client.Position{}) {
		return fmt.Errorf("it is published, but where is not known: %w", client.ErrTooOld)
	}
	fmt.Fprintln(cmd.OutOrStdout(), done.Position)
	return nil
}

// checkID refuses what the server would not take for an id.
func checkID(cmd *cobra.Command, id string) error {
	if !cmd.Flags().Changed("id") {
		return nil
	}
	strange := strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(id) < 1 || len(id) > 64 || strange {
		return fmt.Errorf("--id %q: want 1 to 64 letters, digits and signs, without spaces", id)
	}
	return nil
}

// parseIfSeq reads a number, or a number in an epoch.
func parseIfSeq(text string) (epoch string, seq int64, err error) {
	if at, err := client.ParsePosition(text); err == nil && at.Seq > 0 {
		return at.Epoch, at.Seq, nil
	}
	if seq, err = strconv.ParseInt(text, 10, 64); err != nil || seq < 1 {
		return "", 0, fmt.Errorf("--if-seq %q: want a number from 1, or with its epoch, like 9f86d081-58", text)
	}
	return "", seq, nil
}

func newBroadcast(p *place) *cobra.Command {
	var id string
	cmd := &cobra.Command{
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
			admin, err := p.retryingClient(cmd)
			if err != nil {
				return err
			}
			if err := checkID(cmd, id); err != nil {
				return err
			}
			if id != "" {
				return admin.BroadcastID(cmd.Context(), args[0], id)
			}
			return admin.Broadcast(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "publish it once to each channel, by this id, and try again until the server has answered")
	return cmd
}
