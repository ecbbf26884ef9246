package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	own, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	root := newRoot(&place{getenv: getenv, giveUp: giveUp})
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	inOurWords(root)
	err := root.ExecuteContext(own)
	if err := hopeless(own); err != nil {
		return err
	}
	if _, refused := errors.AsType[*refusedError](err); ctx.Err() != nil && !refused {
		return nil
	}
	return err
}

func newRoot(p *place) *cobra.Command {
	root := &cobra.Command{
		Use:   "icomet",
		Short: "Subscribe to and publish through an iComet server",
		Long: `Subscribe to and publish through an iComet server.

The server is found by --front and --admin, or by the variables that the server
itself reads, ` + frontVariable + ` and ` + adminVariable + `, or at its
default addresses. A port with TLS is an https:// URL; its certificate is checked
against the system's authorities, or those in --ca. An admin key is read from
--key-file or ` + keysVariable + ` (the first one), never from the command line,
which others can see.

The exit status is 0, also after Ctrl-C, or 1 after an error.`,
		Example: `  icomet sub news                      follow a channel
  icomet sub news --seq 1 --json       all that is stored, and on
  icomet sub news --from 9f86d081-57   go on after that message
  icomet sub news sports -t ws         several channels on one connection
  icomet pub news 'hello'              publish
  tail -f log | icomet pub news -      publish each line
  icomet top                           what the server does
  icomet sub news --front https://push.example.com
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
	flags.StringVar(&p.ca, "ca", "", "a PEM file with the authorities to trust instead of the system's, for https://")
	flags.StringVar(&p.cert, "cert", "", "a PEM file with the certificate to show to a server that wants one")
	flags.StringVar(&p.certKey, "cert-key", "", "a PEM file with its key (default: the same file)")
	for _, name := range []string{"key-file", "ca", "cert", "cert-key"} {
		if err := root.MarkPersistentFlagFilename(name); err != nil {
			panic(err) // the flags are defined above
		}
	}
	root.AddCommand(newSub(p), newPub(p), newEnd(p), newBroadcast(p), newSign(p), newInfo(p), newChannels(p), newTop(p))
	root.AddCommand(newControl(p)...)
	return root
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
	case unverified(err) && strings.Contains(text, "unknown authority"):
		text += "\nIf it is an authority of your own, give it by --ca FILE."
	case wantsCertificate(err):
		text += "\nGive a certificate that the server's client_ca has signed by --cert FILE and --cert-key FILE."
	case answered && status.Status == 400 && strings.Contains(status.Text, "this port speaks TLS"):
		text += "\nGive it as https://host:port, and an authority of your own by --ca FILE."
	case errors.Is(err, http.ErrSchemeMismatch):
		text += "\nThat port has no TLS: give it as http://host:port."
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
