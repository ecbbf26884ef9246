package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"icomet/client"
)

// subFlags are the flags of icomet sub.
type subFlags struct {
	seq       int64
	from      string
	last      int
	count     int
	transport string
	token     string
	sign      bool
	json      bool
	quiet     bool
}

func newSub(p *place) *cobra.Command {
	var f subFlags
	cmd := &cobra.Command{
		Use:     "sub CHANNEL",
		Aliases: []string{"subscribe", "tail"},
		Short:   "Follow a channel",
		Long: `Follow a channel: print each message, one a line.

A broken connection comes back by itself, from the message it stopped at, also to
a server that was restarted. Standard error tells whether that misses anything:
nothing, how many messages, or that nobody can know. It also tells a position,
EPOCH-SEQ, at the beginning and after Ctrl-C: with --from the next icomet sub
goes on after it. It ends with Ctrl-C, --count, or when the channel ends or is
closed.

With --json each message is an object with its seq and epoch, and with lost and
reason if some are missing before it. What standard error tells of positions is
objects too: {"type":"position","cname":"news","position":"9f86d081-57",
"recovered":false,"lost":15,"reason":"trimmed"}; lost is -1 if nobody can know.
The types end, closed and stopped tell why it ends, with the last position.`,
		Example: `  icomet sub news
  icomet sub news --from 9f86d081-57
  icomet sub news --last 20
  icomet sub news --seq 1 --count 10 --json
  icomet sub news --sign --transport sse`,
		Args: oneChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(exclusive(cmd, "token", "sign"), exclusive(cmd, "from", "last", "seq"), exclusive(cmd, "last", "seq")); err != nil {
				return err
			}
			s, err := f.subscriber(cmd, p, args[0])
			if err != nil {
				return err
			}
			return f.follow(cmd.Context(), s, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&f.seq, "seq", 0, "the number of the first message wanted; 0: from now, 1: all that are stored")
	flags.StringVar(&f.from, "from", "", "go on after this position, EPOCH-SEQ, as an earlier icomet sub or pub has told it")
	flags.IntVar(&f.last, "last", 0, "begin with the newest messages that are stored, so many")
	flags.IntVarP(&f.count, "count", "n", 0, "end after this many messages; 0: never")
	flags.StringVarP(&f.transport, "transport", "t", "stream", "stream, sse, iframe, poll or ws (WebSocket)")
	flags.StringVar(&f.token, "token", "", "the channel's token")
	flags.BoolVar(&f.sign, "sign", false, "get the token from the admin port")
	flags.BoolVarP(&f.json, "json", "j", false, "print each message as a JSON object, and tell positions as such")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "tell only what is missing or may be, not of broken connections and positions")
	completeWords(cmd, "transport", words(client.Transports))
	return cmd
}

func (f *subFlags) subscriber(cmd *cobra.Command, p *place, channel string) (*client.Subscriber, error) {
	front, err := p.frontURL()
	if err != nil {
		return nil, err
	}
	s := &client.Subscriber{URL: front, Channel: channel, Seq: f.seq, Last: f.last, Transport: client.Transport(f.transport)}
	if cmd.Flags().Changed("from") { // an empty one is a mistake too
		if s.From, err = client.ParsePosition(f.from); err != nil {
			return nil, fmt.Errorf("--from %q: %w", f.from, err)
		}
	}
	switch {
	case !slices.Contains(client.Transports, s.Transport):
		return nil, fmt.Errorf("--transport %s: want %s", f.transport, strings.Join(words(client.Transports), ", "))
	case f.seq < 0:
		return nil, errors.New("--seq: want 0 or more")
	case f.last < 0:
		return nil, errors.New("--last: want 0 or more")
	case f.count < 0:
		return nil, errors.New("--count: want 0 or more")
	case f.token != "":
		s.Token = func(_ context.Context, denied int) (string, error) {
			if denied > 0 {
				return "", client.ErrUnauthorized // the same token would be refused again
			}
			return f.token, nil
		}
	case f.sign:
		admin, err := p.adminClient()
		if err != nil {
			return nil, err
		}
		s.Token = func(ctx context.Context, _ int) (string, error) {
			signed, err := admin.Sign(ctx, channel, 0)
			return signed.Token, err
		}
	}
	return s, nil
}

// follow prints messages until --count, an end or a close.
func (f *subFlags) follow(ctx context.Context, s *client.Subscriber, stdout, stderr io.Writer) error {
	tell := teller{w: stderr, channel: s.Channel, json: f.json, quiet: f.quiet, resumes: s.From != client.Position{}}
	s.OnPosition = tell.position
	if !f.quiet {
		s.OnError = func(err error, wait time.Duration) {
			fmt.Fprintf(stderr, "icomet: %v; again in %v\n", err, wait.Round(100*time.Millisecond))
		}
	}
	err := f.receive(ctx, s, bufio.NewWriter(stdout))
	switch {
	case errors.Is(err, client.ErrEnded):
		tell.ending("end", "the channel has ended", s)
	case errors.Is(err, client.ErrClosed):
		tell.ending("closed", "the channel was closed", s)
	case errors.Is(err, errOutput): // the last message is not out, so s is too far
		return err
	default:
		tell.ending("stopped", "", s)
		return err
	}
	return nil
}

var errOutput = errors.New("standard output")

func (f *subFlags) receive(ctx context.Context, s *client.Subscriber, out *bufio.Writer) error {
	n := 0
	for m, err := range s.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := f.print(out, m); err != nil {
			return fmt.Errorf("%w: %w", errOutput, err)
		}
		if n++; n == f.count {
			break
		}
	}
	return nil
}

func (f *subFlags) print(out *bufio.Writer, m client.Message) error {
	if f.json {
		if err := writeJSON(out, m); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(out, printable(m.Content))
	}
	return out.Flush()
}

// writeJSON writes v on a line of its own, also for readers that end a line at any of
// Unicode's line ends: encoding/json escapes all of them but one.
func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(bytes.ReplaceAll(b.Bytes(), []byte("\u0085"), []byte(`\u0085`)))
	return err
}

// printable replaces control characters, so that a message cannot send control sequences
// to the terminal and stays on one line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case r == '\n', r == '\u2028', r == '\u2029':
			return '⏎'
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return '\ufffd'
		}
		return r
	}, text)
}

func words(list []client.Transport) (out []string) {
	for _, t := range list {
		out = append(out, string(t))
	}
	return out
}

// completeWords lets the shell complete the value of a flag.
func completeWords(cmd *cobra.Command, flag string, list []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // there is no such flag
	}
}
