package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"icomet/client"
)

// subFlags are the flags of icomet sub.
type subFlags struct {
	seq       int64
	from      []string // [CHANNEL=]EPOCH-SEQ
	last      int
	count     int
	transport string
	token     []string // [CHANNEL=]TOKEN
	sign      bool
	json      bool
	quiet     bool
}

func newSub(p *place) *cobra.Command {
	var f subFlags
	cmd := &cobra.Command{
		Use:     "sub CHANNEL...",
		Aliases: []string{"subscribe", "tail"},
		Short:   "Follow one channel or several",
		Long: `Follow one channel or several: print each message, one a line.

A broken connection comes back by itself, from the message it stopped at, also to
a server that was restarted. Standard error tells whether that misses anything:
nothing, how many messages, or that nobody can know. It also tells a position,
EPOCH-SEQ, at the beginning and after Ctrl-C: with --from the next icomet sub
goes on after it. It ends with Ctrl-C, --count, or when the channel ends or is
closed.

Several channels come over one connection. Each line is the channel, a tab and
the message, and --from is CHANNEL=EPOCH-SEQ, once for each channel that has one;
--last and --seq are for all others. A channel that ends, is closed or is refused
costs only itself; with the last one icomet sub ends.

The exit status is 0 after Ctrl-C and --count, and when all channels have ended
or were closed. It is 1 after an error, and when a channel was refused, even if
others were followed to their end.

With --json each message is an object with its cname, seq and epoch, and with lost
and reason if some are missing before it. What standard error tells of positions
is objects too: {"type":"position","cname":"news","position":"9f86d081-57",
"recovered":false,"lost":15,"reason":"trimmed"}; lost is -1 if nobody can know.
The types end, closed and stopped tell why a channel is not followed any more,
with its last position; of several, refused has the error too.`,
		Example: `  icomet sub news
  icomet sub news --from 9f86d081-57
  icomet sub news --last 20
  icomet sub news --seq 1 --count 10 --json
  icomet sub news --sign --transport sse
  icomet sub news sports weather --transport ws
  icomet sub news sports --from news=9f86d081-57 --last 20`,
		Args: someChannels,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := cmp.Or(exclusive(cmd, "token", "sign"), exclusive(cmd, "last", "seq"))
			if len(args) == 1 {
				err = cmp.Or(err, exclusive(cmd, "from", "last", "seq"))
			}
			if err != nil {
				return err
			}
			s, err := f.subscriber(p, args)
			if err != nil {
				return err
			}
			return f.follow(cmd.Context(), p, s, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&f.seq, "seq", 0, "the number of the first message wanted; 0: from now, 1: all that are stored")
	flags.StringArrayVar(&f.from, "from", nil, "go on after this position, EPOCH-SEQ, as an earlier icomet sub or pub has told it; of several channels CHANNEL=EPOCH-SEQ")
	flags.IntVar(&f.last, "last", 0, "begin with the newest messages that are stored, so many")
	flags.IntVarP(&f.count, "count", "n", 0, "end after this many messages, of all channels together; 0: never")
	flags.StringVarP(&f.transport, "transport", "t", "stream", "stream, sse, iframe, poll or ws (WebSocket)")
	flags.StringArrayVar(&f.token, "token", nil, "the channel's token; of several channels CHANNEL=TOKEN, or one that is for all")
	flags.BoolVar(&f.sign, "sign", false, "get the token from the admin port")
	flags.BoolVarP(&f.json, "json", "j", false, "print each message as a JSON object, and tell positions as such")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "tell only what is missing or may be, not of broken connections and positions")
	completeWords(cmd, "transport", words(client.Transports))
	return cmd
}

func (f *subFlags) subscriber(p *place, channels []string) (*client.MultiSubscriber, error) {
	front, err := p.frontURL()
	if err != nil {
		return nil, err
	}
	own, err := p.http()
	if err != nil {
		return nil, err
	}
	s := &client.MultiSubscriber{URL: front, Transport: client.Transport(f.transport), HTTP: own}
	switch {
	case !slices.Contains(client.Transports, s.Transport):
		return nil, fmt.Errorf("--transport %s: want %s", f.transport, strings.Join(words(client.Transports), ", "))
	case f.seq < 0:
		return nil, errors.New("--seq: want 0 or more")
	case f.last < 0:
		return nil, errors.New("--last: want 0 or more")
	case f.count < 0:
		return nil, errors.New("--count: want 0 or more")
	}
	if s.Token, err = f.tokens(p, channels); err != nil {
		return nil, err
	}
	starts, err := f.starts(channels)
	if err != nil {
		return nil, err
	}
	return s, s.Add(starts...)
}

// starts says where each channel begins.
func (f *subFlags) starts(channels []string) (list []client.Start, err error) {
	from, err := perChannel("from", f.from, channels)
	if err != nil {
		return nil, err
	}
	if text, there := from[""]; there && len(channels) > 1 {
		return nil, fmt.Errorf("--from %q: of which channel? Want CHANNEL=EPOCH-SEQ, like %s=9f86d081-57", text, channels[0])
	}
	for i, channel := range channels {
		if slices.Contains(channels[:i], channel) {
			return nil, fmt.Errorf("channel %q is there twice", channel)
		}
		start := client.Start{Channel: channel, Last: f.last, Seq: f.seq}
		if text, there := ofChannel(from, channel); there { // an empty one is a mistake too
			start = client.Start{Channel: channel}
			if start.From, err = client.ParsePosition(text); err != nil {
				return nil, fmt.Errorf("--from %q: %w", text, err)
			}
		}
		list = append(list, start)
	}
	return list, nil
}

// tokens returns what gets the token of a channel; nil: none is needed.
func (f *subFlags) tokens(p *place, channels []string) (func(context.Context, string, int) (string, error), error) {
	given, err := perChannel("token", f.token, channels)
	switch {
	case err != nil:
		return nil, err
	case f.sign:
		admin, err := p.adminClient()
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, channel string, _ int) (string, error) {
			signed, err := admin.Sign(ctx, channel, 0)
			return signed.Token, err
		}, nil
	case len(given) == 0:
		return nil, nil
	}
	return func(_ context.Context, channel string, denied int) (string, error) {
		if denied > 0 {
			return "", client.ErrUnauthorized // the same token would be refused again
		}
		token, _ := ofChannel(given, channel)
		return token, nil
	}, nil
}

// perChannel reads the values of a flag: CHANNEL=VALUE, or VALUE, which is under "".
func perChannel(flag string, values, channels []string) (map[string]string, error) {
	out := map[string]string{}
	for _, value := range values {
		channel := ""
		if i := strings.LastIndexByte(value, '='); i > 0 && slices.Contains(channels, value[:i]) {
			channel, value = value[:i], value[i+1:]
		}
		if _, there := out[channel]; there {
			return nil, fmt.Errorf("--%s is there twice for one channel", flag)
		}
		out[channel] = value
	}
	return out, nil
}

// ofChannel is the value of a channel, or else the one for all.
func ofChannel(values map[string]string, channel string) (value string, there bool) {
	if value, there = values[channel]; !there {
		value, there = values[""]
	}
	return value, there
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
