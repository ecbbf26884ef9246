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
	front := flags.String("front", reach("ICOMET_FRONT_LISTEN", "8100"), "the push server's front port, as browsers reach it; a loopback address stands for the host of the page")
	admin := flags.String("admin", reach("ICOMET_ADMIN_LISTEN", "8000"), "the push server's admin port, as this application reaches it")
	pid := flags.Int("server", 0, "the process that the push server has to be; 0: any")
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
	fmt.Printf("\n  The chat is at %s\n  Open it in two windows. What the server does is at %s\n  Ctrl-C ends both.\n\n",
		strings.Join(addresses(ln.Addr()), " and "), *admin)
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

// reach is the URL at which this machine reaches a port of the push server, which listens
// where the environment variable says.
func reach(variable, port string) string {
	host := ""
	if h, p, err := net.SplitHostPort(os.Getenv(variable)); err == nil {
		host, port = h, p
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
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
