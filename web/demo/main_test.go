package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"icomet/client"
	"icomet/server/servertest"
)

// TestWaitForServer: the push server may start a little later than the application. If it
// refuses, its answer says why.
func TestWaitForServer(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_ADMIN_KEYS=sesame")
	s.Kill()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := waitForServer(short, &client.Admin{URL: s.Admin}); err == nil || !strings.Contains(err.Error(), s.Admin) {
		t.Errorf("without a server: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- waitForServer(t.Context(), &client.Admin{URL: s.Admin, Key: "sesame"}) }()
	s.Restart()
	if err := <-done; err != nil {
		t.Error(err)
	}
	start := time.Now()
	err := waitForServer(t.Context(), &client.Admin{URL: s.Admin})
	if err == nil || !strings.Contains(err.Error(), "HTTP 401") || time.Since(start) > startTime/2 {
		t.Errorf("without a key: %v after %v", err, time.Since(start))
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	if got := addresses("http://", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}); len(got) != 1 || got[0] != "http://127.0.0.1:8080" {
		t.Errorf("%q", got)
	}
	for _, got := range addresses("http://", &net.TCPAddr{IP: net.IPv6unspecified, Port: 8080}) {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(got, "http://"))
		if ip := net.ParseIP(host); err != nil || port != "8080" || host != "localhost" && (ip == nil || ip.IsUnspecified() || ip.IsLoopback()) {
			t.Errorf("%s: %v", got, err)
		}
	}
}

// TestOtherServer: the application does not greet when another server has the ports.
func TestOtherServer(t *testing.T) {
	s := servertest.Start(t, "ICOMET_ADMIN_KEYS=sesame,second")
	t.Setenv("ICOMET_ADMIN_KEYS", "sesame,second")
	t.Setenv("ICOMET_ADMIN_LISTEN", strings.TrimPrefix(s.Admin, "http://"))
	err := run([]string{"-listen", "127.0.0.1:0", "-server", strconv.Itoa(os.Getpid())})
	if err == nil || !strings.Contains(err.Error(), "another server (process ") || !strings.Contains(err.Error(), "ICOMET_ADMIN_LISTEN") {
		t.Fatalf("got %v", err)
	}
	var pid int
	if _, err := fmt.Sscanf(err.Error(), "another server (process %d)", &pid); err != nil {
		t.Fatal(err)
	}
	server := &client.Admin{URL: s.Admin, Key: "sesame"}
	if err := checkServer(t.Context(), server, pid); err != nil {
		t.Errorf("our own server: %v", err)
	}
	other := newPlain(t)
	if err := checkServer(t.Context(), &client.Admin{URL: other}, pid); err == nil || !strings.Contains(err.Error(), "no icomet-server") {
		t.Errorf("another program: %v", err)
	}
}

// newPlain is a program that answers 404 to everything.
func newPlain(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.URL
}

// TestReach: the application goes where the environment lets the server listen.
func TestReach(t *testing.T) {
	t.Setenv("ICOMET_ADMIN_TLS_CERTIFICATES", "")
	for listen, want := range map[string]string{
		"": "http://127.0.0.1:8000", ":81": "http://127.0.0.1:81", "0.0.0.0:81": "http://127.0.0.1:81", "[::]:81": "http://127.0.0.1:81",
		"10.1.2.3:81": "http://10.1.2.3:81", "[fd00::1]:81": "http://[fd00::1]:81", "box.local:81": "http://box.local:81",
	} {
		t.Setenv("ICOMET_ADMIN_LISTEN", listen)
		if got := reach("ICOMET_ADMIN_", "8000"); got != want {
			t.Errorf("%q: %s, want %s", listen, got, want)
		}
	}
	t.Setenv("ICOMET_ADMIN_TLS_CERTIFICATES", "a.pem:a.key")
	if got := reach("ICOMET_ADMIN_", "8000"); !strings.HasPrefix(got, "https://") {
		t.Errorf("with a certificate: %s", got)
	}
}
