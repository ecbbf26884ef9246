//go:build linux

package scenario

import (
	"strings"
	"testing"

	"icomet/bench/protocol"
)

func TestCheckLoopback(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80":    "",
		"127.200.3.4:1":   "",
		"10.0.0.1:80":     "127.0.0.0/8 only",
		"0.0.0.0:80":      "127.0.0.0/8 only",
		"[::1]:80":        "127.0.0.0/8 only",
		"127.0.0.1:0":     "port 0",
		"127.0.0.1":       "want 127",
		"localhost:80":    "want 127",
		"example.org:443": "want 127",
	} {
		_, err := CheckLoopback(address)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	s, err := Preset("fanout", Options{Subscribers: 10})
	if err != nil {
		t.Fatal(err)
	}
	s.Procs, s.Concurrency = 4, 3
	if err := s.Validate(); err == nil {
		t.Error("fewer connections at a time than processes")
	}
	for want, o := range map[string]Options{
		"":               {Subscribers: 10},
		"subscribers":    {Subscribers: MaxSubscribers + 1},
		"size":           {Size: protocol.MinSize - 1},
		"rate":           {Rate: -1},
		"depth":          {Depth: MaxDepth + 1},
		"publishers for": {Publishers: 2},
		"procs":          {Procs: MaxProcs + 1, Concurrency: 1000},
		"longer than":    {Duration: MaxDuration + 1},
	} {
		_, err := Preset("fanout", o)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	if _, err := Preset("churn", Options{Transport: protocol.Poll}); err == nil {
		t.Error("churn of polls")
	}
	if _, err := Preset("other", Options{}); err == nil {
		t.Error("an unknown scenario")
	}
}
