package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
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
	front := flags.String("front", reach("ICOMET_FRONT_", "8100"), "the push server's front port, as browsers reach it; a loopback address stands for the host of the page")
	admin := flags.String("admin", reach("ICOMET_ADMIN_", "8000"), "the push server's admin port, as this application reaches it")
	secure := flags.String("tls", "", "a folder with the certificate that -certificate has made: the page is served by https")
	certificate := flags.String("certificate", "", "make a certificate of its own authority in this folder for whom -listen can reach, and end")
	pid := flags.Int("server", 0, "the process that the push server has to be; 0: any")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *certificate != "" {
		return makeCertificate(*certificate, *listen)
	}
	frontURL, err := url.Parse(*front)
	if err != nil || frontURL.Host == "" {
		return fmt.Errorf("-front %s: not an URL", *front)
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("%w; for another place: make demo DEMO_LISTEN=127.0.0.1:8081", err)
	}
	scheme, hint := "http://", ""
	if *secure != "" {
		if ln, err = overTLS(ln, *secure); err != nil {
			return err
		}
		scheme, hint = "https://", tlsHint(*secure, frontURL)
	}
	key, _, _ := strings.Cut(os.Getenv("ICOMET_ADMIN_KEYS"), ",")
	server := &client.Admin{URL: *admin, Key: strings.TrimSpace(key)}
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
	if err := checkServer(ctx, server, *pid); err != nil {
		return err
	}
	fmt.Printf("\n  The chat is at %s\n  Open it in two windows. What the server does is at %s\n%s  Ctrl-C ends both.\n\n",
		strings.Join(addresses(scheme, ln.Addr()), " and "), *admin, hint)
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// maxHello bounds the first line of the server's feed, in bytes.
const maxHello = 4 << 20

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

// checkServer returns an error if another process than pid answers: a server that has the
// ports already, with settings of its own, while ours ends because of that.
func checkServer(ctx context.Context, server *client.Admin, pid int) error {
	if pid == 0 {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/dashboard/feed", nil)
	if err != nil {
		return err
	}
	if server.Key != "" {
		req.Header.Set("Authorization", "Bearer "+server.Key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// The stream begins with an event that says who answers.
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxHello)
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		var hello struct{ PID int }
		if !found || json.Unmarshal([]byte(data), &hello) != nil {
			continue
		}
		if hello.PID != pid {
			return fmt.Errorf("another server (process %d) is at %s already; stop it, or set ICOMET_FRONT_LISTEN and ICOMET_ADMIN_LISTEN to free addresses", hello.PID, server.URL)
		}
		return nil
	}
	return fmt.Errorf("what answers at %s is no icomet-server (HTTP %d); stop it, or set ICOMET_ADMIN_LISTEN to a free address", server.URL, resp.StatusCode)
}

// reach is the URL at which this machine reaches a port of the push server, as the
// environment variables say that begin with prefix.
func reach(prefix, port string) string {
	host, scheme := "", "http://"
	if h, p, err := net.SplitHostPort(os.Getenv(prefix + "LISTEN")); err == nil {
		host, port = h, p
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if os.Getenv(prefix+"TLS_CERTIFICATES") != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// addresses are the URLs under which a listener can be reached. If it listens on all
// addresses, they are those that other machines, such as a phone, can reach.
func addresses(scheme string, at net.Addr) (urls []string) {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return []string{scheme + at.String()}
	}
	for _, host := range append([]string{"localhost"}, ownAddresses()...) {
		urls = append(urls, fmt.Sprintf("%s%s:%d", scheme, host, tcp.Port))
	}
	return urls
}

// ownAddresses are this machine's IPv4 addresses that others can reach. On an error there
// are none.
func ownAddresses() (list []string) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			list = append(list, ip.IP.String())
		}
	}
	return list
}
