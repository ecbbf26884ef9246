// Command demo is a small chat: an application that uses the push server as it is
// meant to be used.
//
//	browser ──page, join, sign, pub──▶ this application ──sign, push──▶ admin port
//	   └──────────subscribe with the token──────────────────────────▶ front port
//
// The push server decides nothing about people: the application says who gets a
// channel's token (/sign) and who may publish what (/pub). See guard.go.
//
//	make demo
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"icomet/client"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("demo", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:8080", "where the chat's page is served")
	front := flags.String("front", "http://127.0.0.1:8100", "the push server's front port, as browsers reach it; a loopback address stands for the host of the page")
	admin := flags.String("admin", "http://127.0.0.1:8000", "the push server's admin port, as this application reaches it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	frontURL, err := url.Parse(*front)
	if err != nil || frontURL.Host == "" {
		return fmt.Errorf("-front %s: not an URL", *front)
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	app := newApp(frontURL, &client.Admin{URL: *admin, Key: os.Getenv("ICOMET_ADMIN_KEYS")})
	srv := &http.Server{Handler: app.handler(), ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	fmt.Printf("\n  The chat is at http://%s\n  Open it in two windows. Ctrl-C ends it.\n\n", ln.Addr())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
