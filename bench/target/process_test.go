//go:build linux

package target

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icomet/bench/protocol"
)

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

// TestDialectOfAStartedServer: its log says what it speaks.
func TestDialectOfAStartedServer(t *testing.T) {
	t.Parallel()
	for says, want := range map[string]protocol.Dialect{"": protocol.DialectIcomet, "dialect=centrifuge": protocol.DialectCentrifuge, "dialect=mail": ""} {
		script := filepath.Join(t.TempDir(), "server")
		text := "#!/bin/sh\nfor role in front admin; do echo msg=listening role=$role address=127.0.0.1:1 " + says + " >&2; done\nexec sleep 600\n"
		if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := Target{Command: "sh " + script}.Start(t.Context())
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), `dialect "mail"`) {
				t.Errorf("%s: %v", says, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if s.Dialect != want {
			t.Errorf("%s: taken for %q", says, s.Dialect)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
}
