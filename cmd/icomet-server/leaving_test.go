package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestDefaultsFitIntoDockersGrace: with the defaults, polls that wait have ended and so has
// the process before a supervisor's 10 s are over.
func TestDefaultsFitIntoDockersGrace(t *testing.T) {
	t.Parallel()
	d := start(t, nil, writeConfig(t))
	polls := make(chan error)
	const n = 50
	for range n {
		f, err := servertest.Subscribe(d.Address("front"), "sub", "a", 1)
		if err == nil {
			err = f.Request()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		go func() { polls <- f.ExpectAnswer(`"type":"noop"`) }()
	}
	checkFor(t, startLimit, func() error {
		if got := fetch(t, "http://"+d.Address("admin")+"/info?cname=a"); !strings.Contains(got, fmt.Sprintf(`"subscribers": %d}`, n)) {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	begun := time.Now()
	d.Send(syscall.SIGTERM)
	for range n {
		if err := <-polls; err != nil {
			t.Error(err)
		}
	}
	d.WaitEnd(9*time.Second+lateness, 0)
	t.Logf("it took %v", time.Since(begun))
}

// TestReadyzSaysFirst: in limits.drain_delay a load balancer learns of the stop from
// /readyz, while newcomers and publishers are served as ever.
func TestReadyzSaysFirst(t *testing.T) {
	t.Parallel()
	const delay = 4 * time.Second
	d := start(t, nil, writeConfig(t, fmt.Sprintf("limits.drain_delay = %q", delay), `limits.drain_timeout = "100ms"`))
	front, admin := "http://"+d.Address("front"), "http://"+d.Address("admin")
	wantStatus := func(url string, want int) {
		t.Helper()
		if status, body, err := servertest.Get(url); err != nil || status != want {
			t.Errorf("%s: %d %q %v, want %d", url, status, body, err, want)
		}
	}
	wantStatus(admin+"/readyz", http.StatusOK)
	begun := time.Now()
	d.Send(syscall.SIGTERM)
	d.WaitLog("newcomers are still served", 1)
	wantStatus(admin+"/readyz", http.StatusServiceUnavailable)
	wantStatus(admin+"/healthz", http.StatusOK)
	wantStatus(front+"/ping", http.StatusOK)
	wantStatus(front+"/sub?cname=a", http.StatusOK)
	wantStatus(admin+"/push?cname=a&content=x", http.StatusOK)
	d.WaitEnd(delay+startLimit, 0)
	if took := time.Since(begun); took < delay {
		t.Errorf("it left after %v", took)
	}
}
