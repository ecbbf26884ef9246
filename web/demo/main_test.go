package main

import (
	"context"
	"net"
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
	if got := addresses(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}); len(got) != 1 || got[0] != "http://127.0.0.1:8080" {
		t.Errorf("%q", got)
	}
	for _, got := range addresses(&net.TCPAddr{IP: net.IPv6unspecified, Port: 8080}) {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(got, "http://"))
		if ip := net.ParseIP(host); err != nil || port != "8080" || host != "localhost" && (ip == nil || ip.IsUnspecified() || ip.IsLoopback()) {
			t.Errorf("%s: %v", got, err)
		}
	}
}
