//go:build linux

package target

import "testing"

func TestParseListening(t *testing.T) {
	for line, want := range map[string]listening{
		`time=2026-01-01T00:00:00Z level=INFO msg=listening role=front address=127.0.0.1:1234`: {"front", "127.0.0.1:1234", ""},
		`msg=listening role="admin" address="127.0.0.1:1" loops=2`:                             {"admin", "127.0.0.1:1", ""},
		`msg=listening role=admin address=127.0.0.1:2 dialect=centrifuge`:                      {"admin", "127.0.0.1:2", "centrifuge"},
		`msg=listening address=127.0.0.1:1`:                                                    {},
		`msg=closing role=front address=127.0.0.1:1`:                                           {},
	} {
		got, ok := parseListening(line)
		if ok != (want != listening{}) || ok && got != want {
			t.Errorf("%s: %v %v", line, got, ok)
		}
	}
}
