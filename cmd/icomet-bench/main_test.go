//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"icomet/bench/report"
	"icomet/internal/version"
)

// asMain makes the test binary be the command, which executes itself.
const asMain = "BENCH_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command runs the command and returns its exit status.
func command(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	// Else each process under the race detector sleeps for a second before it exits.
	cmd.Env = append(os.Environ(), asMain+"=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=10")
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// TestFlagsOfOneServer: in ab a server may have flags of its own, which win.
func TestFlagsOfOneServer(t *testing.T) {
	out, status := command(t, "ab", "-a", "ceiling", "-b", "ceiling -- -transport ws -n 7", "-rounds", "2", "fanout", "-n", "10", "-warmup", "0s", "-duration", "300ms")
	if status != 0 || !strings.Contains(out, "ceiling -transport ws -n 7 ") {
		t.Errorf("status %d: %s", status, out)
	}
	if _, status := command(t, "ab", "-a", "ceiling", "-b", "ceiling -- -transport mail", "-rounds", "1", "fanout"); status == 0 {
		t.Error("a wrong flag of one server passes")
	}
}

func TestExitStatus(t *testing.T) {
	tests := []struct {
		args   string
		status int
		out    string
	}{
		{"", 2, "usage:"},
		{"help", 0, "usage:"},
		{"-version", 0, "icomet-bench " + version.Release + " (go"},
		{"nonsense", 2, "there is no scenario \"nonsense\"\nusage:"},
		{"ceiling nonsense", 2, "there is no scenario \"nonsense\""},
		{"suite -rounds x", 2, "invalid value"},
		{"suite -server x more", 2, `unexpected "more"`},
		{"suite -server x -rounds 0", 2, "-rounds: want at least 1"},
		{"suite -help", 0, "-update"},
		{"cluster -help", 0, "-nodes"},
		{"ab -a ceiling -b ceiling nonsense", 2, "there is no scenario \"nonsense\": want one of idle,"},
		{"fanout", 2, "want -server"},
		{"fanout -server ceiling more", 2, `unexpected "more"`},
		{"fanout -server ceiling -n nine", 2, "invalid value"},
		{"fanout -server ceiling -transport mail", 2, "want stream, sse, iframe, poll or ws"},
		{"fanout -help", 0, "-transport"},
		{"fanout -server ceiling -size 1", 1, "size 1"},
		{"fanout -front 192.0.2.1:80 -admin 127.0.0.1:80", 1, "127.0.0.0/8 only"},
		{"fanout -front 127.0.0.1:1,127.0.0.1:2 -admin 127.0.0.1:3", 2, "want as many of each"},
		{"fanout -front 127.0.0.1:1 -admin 127.0.0.1:3 -pid x", 2, "want a number"},
		{"fanout -server /does/not/exist", 1, "no such file"},
		{"fanout -server false", 1, "ended before it listened"},
		{"ceiling", 2, "usage:"},
		{"ceiling fanout -n 10 -warmup 0s -duration 300ms", 0, "nothing lost"},
		{"ceiling fanout -n 10 -procs 2 -warmup 0s -duration 300ms", 0, "nothing lost"},
		{"ab -a ceiling fanout", 2, "want -a and -b\nusage:"},
		{"ab -a ceiling -b ceiling -rounds 2 fanout -n 10 -warmup 0s -duration 300ms", 0, "medians of 2 rounds"},
		{"ab -a ceiling -b /does/not/exist -rounds 1 fanout -n 10 -warmup 0s -duration 300ms", 1, "no such file"},
		{"suite", 2, "icomet-bench suite: want -server\n"},
		{"redis -server x", 2, "-library"},
		{"cluster", 2, "icomet-bench cluster: want -server\n"},
		{"cluster -server x -nodes 5 -channels 4", 1, "at least as many channels as nodes"},
		{"cluster -server /does/not/exist", 1, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			out, status := command(t, strings.Fields(test.args)...)
			once := strings.Count(out, "Usage of") <= 1
			if status != test.status || !strings.Contains(out, test.out) || !once {
				t.Errorf("status %d, want %d with %q; output:\n%s", status, test.status, test.out, out)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	jsonFile, htmlFile := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.html")
	if out, status := command(t, "ceiling", "unicast", "-n", "20", "-publishers", "4", "-warmup", "0s", "-duration", "1s",
		"-json", jsonFile, "-html", htmlFile, "-quiet"); status != 0 || out != "" {
		t.Fatalf("status %d:\n%s", status, out)
	}
	b, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Result
	if err := json.Unmarshal(b, &r); err != nil || r.Total.Deliveries == 0 || r.Scenario.Groups[0].Subscribers != 20 {
		t.Errorf("%v in %s", err, b)
	}
	if b, err = os.ReadFile(htmlFile); err != nil || !strings.Contains(string(b), "<svg") {
		t.Errorf("no plot: %v", err)
	}
}

func TestUpdateTable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "README.md")
	write := func(s string) {
		if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + tableBegin + "\nold\n" + tableEnd + "\nafter\n")
	if err := updateTable(name, []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if want := "before\n" + tableBegin + "\nnew\n" + tableEnd + "\nafter\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	write("no marks\n")
	if err := updateTable(name, []byte("new\n")); err == nil {
		t.Error("a file without marks is changed")
	}
}
