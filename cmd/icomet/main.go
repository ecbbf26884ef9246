package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"icomet/client"
	"icomet/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "icomet:", explain(err))
		stop()
		os.Exit(1)
	}
}

// run executes one command line. Ctrl-C (the end of ctx) is no error, but does not hide
// that channels were refused.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "-version" { // as the other programs of the project have it
		args = append([]string{"--version"}, args[1:]...)
	}
	root := newRoot(getenv)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	inOurWords(root)
	err := root.ExecuteContext(ctx)
	if _, refused := errors.AsType[*refusedError](err); ctx.Err() != nil && !refused {
		return nil
	}
	return err
}

// place is where the server is, as the flags say.
type place struct {
	front, admin, keyFile string
	getenv                func(string) string
}

// The server has the same variables, so that both agree in one shell.
const (
	frontVariable = "ICOMET_FRONT_LISTEN"
	adminVariable = "ICOMET_ADMIN_LISTEN"
	keysVariable  = "ICOMET_ADMIN_KEYS"
)

func newRoot(getenv func(string) string) *cobra.Command {
	p := &place{getenv: getenv}
	root := &cobra.Command{
		Use:   "icomet",
		Short: "Subscribe to and publish through an iComet server",
		Long: `Subscribe to and publish through an iComet server.

The server is found by --front and --admin, or by the variables that the server
itself reads, ` + frontVariable + ` and ` + adminVariable + `, or at its
default addresses. An admin key is read from --key-file or ` + keysVariable + `
(the first one), never from the command line, which others can see.

The exit status is 0, also after Ctrl-C, or 1 after an error.`,
		Example: `  icomet sub news                      follow a channel
  icomet sub news --seq 1 --json       all that is stored, and on
  icomet sub news --from 9f86d081-57   go on after that message
  icomet sub news sports -t ws         several channels on one connection
  icomet pub news 'hello'              publish
  tail -f log | icomet pub news -      publish each line
  icomet top                           what the server does
  source <(icomet completion bash)     completion for this shell`,
		Version:       version.Release,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgument,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate(version.Line("icomet") + "\n")
	flags := root.PersistentFlags()
	flags.StringVar(&p.front, "front", "", "the front port: host:port or URL (default 127.0.0.1:8100)")
	flags.StringVar(&p.admin, "admin", "", "the admin port: host:port or URL (default 127.0.0.1:8000)")
	flags.StringVar(&p.keyFile, "key-file", "", "a file with an admin key in its first line")
	if err := root.MarkPersistentFlagFilename("key-file"); err != nil {
		panic(err) // the flag is defined two lines above
	}
	root.AddCommand(newSub(p), newPub(p), newEnd(p), newBroadcast(p), newSign(p), newInfo(p), newChannels(p), newTop(p))
	root.AddCommand(newControl(p)...)
	return root
}

// frontURL is the URL of the front port.
func (p *place) frontURL() (string, error) {
	return address("--front", frontVariable, p.front, p.getenv(frontVariable), "127.0.0.1:8100")
}

// adminClient returns a client for the admin port.
func (p *place) adminClient() (*client.Admin, error) {
	u, err := address("--admin", adminVariable, p.admin, p.getenv(adminVariable), "127.0.0.1:8000")
	if err != nil {
		return nil, err
	}
	key, _, _ := strings.Cut(p.getenv(keysVariable), ",")
	if p.keyFile != "" {
		b, err := os.ReadFile(p.keyFile)
		if err != nil {
			return nil, fmt.Errorf("--key-file: %w", err)
		}
		key, _, _ = strings.Cut(strings.TrimPrefix(string(b), "\ufeff"), "\n") // editors write a byte order mark
		if key = strings.TrimSpace(key); key == "" {
			return nil, fmt.Errorf("--key-file %s: its first line is empty", p.keyFile)
		}
	}
	return &client.Admin{URL: u, Key: strings.TrimSpace(key)}, nil
}

// address makes a URL of the first of the values that is set. A server that listens on
// all addresses is reached on this machine's own.
func address(flag, variable, byFlag, byVariable, otherwise string) (string, error) {
	text, source := byFlag, flag
	if text == "" {
		text, source = byVariable, variable
	}
	if text == "" {
		text = otherwise
	}
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return strings.TrimSuffix(text, "/"), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || port == "" {
		return "", fmt.Errorf("%s %q: want host:port or a URL, like 127.0.0.1:8100", source, text)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// explain adds a hint to an error text.
func explain(err error) string {
	text := err.Error()
	status, answered := errors.AsType[*client.StatusError](err)
	conflict, _ := errors.AsType[*client.ConflictError](err)
	switch {
	case errors.Is(err, client.ErrEnded):
		text += "\nNobody can publish to a channel that has ended; icomet close frees it."
	case conflict != nil && conflict.Position != (client.Position{}):
		text += fmt.Sprintf("\nThe channel's last message is %s, so the next one would be number %d.", conflict.Position, conflict.Position.Seq+1)
	case errors.Is(err, syscall.ECONNREFUSED):
		text += "\nIs the server running there? See --front, --admin and icomet --help."
	case errors.Is(err, client.ErrUnauthorized):
		text += "\nThe server wants a token: icomet sub --sign CHANNEL gets one from the admin port, --token TOKEN takes one."
	case answered && status.Status == 401:
		text += "\nGive an admin key by --key-file or " + keysVariable + "."
	case answered && status.Status == 403:
		text += "\nThis machine's address has to be in admin.allow of the server's configuration."
	case answered && status.Status == 404 && strings.Contains(status.Text, "no such path"):
		text += "\nIs that the other port? --front is for sub, --admin for everything else."
	}
	return text
}
