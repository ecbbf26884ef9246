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
	"strings"
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
		return fmt.Errorf("%w; for another place: make demo DEMO_LISTEN=127.0.0.1:8081", err)
	}
	server := &client.Admin{URL: *admin, Key: os.Getenv("ICOMET_ADMIN_KEYS")}
	app := newApp(frontURL, server)
	srv := &http.Server{Handler: app.handler(), ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	if err := waitForServer(ctx, server); err != nil {
		return err
	}
	fmt.Printf("\n  The chat is at %s\n  Open it in two windows. What the server does is at %s\n  Ctrl-C ends both.\n\n",
		strings.Join(addresses(ln.Addr()), " and "), *admin)
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startTime is how long the push server may take to start: both are started together.
const startTime = 10 * time.Second

// waitForServer waits until the push server answers.
func waitForServer(ctx context.Context, server *client.Admin) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		_, err := server.Totals(ctx)
		if err == nil {
			return nil
		}
		_, answered := errors.AsType[*client.StatusError](err)
		select {
		case <-time.After(50 * time.Millisecond):
			if !answered {
				continue
			}
		case <-ctx.Done():
		}
		return fmt.Errorf("the push server at %s: %w", server.URL, err)
	}
}

// addresses are the URLs under which a listener can be reached. If it listens on all
// addresses, they are those that other machines, such as a phone, can reach.
func addresses(at net.Addr) []string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return []string{"http://" + at.String()}
	}
	urls := []string{fmt.Sprintf("http://localhost:%d", tcp.Port)}
	all, _ := net.InterfaceAddrs() // on an error, only the first is used
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			urls = append(urls, fmt.Sprintf("http://%s:%d", ip.IP, tcp.Port))
		}
	}
	return urls
}
