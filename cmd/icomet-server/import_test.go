package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImport: -import prints a file that the server takes, or says in which lines of the
// original's the mistakes are.
func TestImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("icomet.conf", "logger:\n\tlevel: trace\nadmin:\n\tallow: 10.\n\tdeny: all\nfront:\n\tauth: token\n\tpolling_timeout: 60\n")
	r := runToEnd(t, nil, "-import", good)
	if r.status != exitOK || r.stderr != "" {
		t.Fatalf("%+v", r)
	}
	if r = runToEnd(t, nil, "-t", write("config.toml", r.stdout)); r.status != exitOK || r.stdout != "configuration ok\n" || r.stderr != "" {
		t.Errorf("what it prints: %+v", r)
	}
	bad := write("bad.conf", "front:\n\tmax_channels: x\n  auth: none\n")
	r = runToEnd(t, nil, "-import", bad)
	if want := bad + ":3: the line is indented with spaces"; r.status != exitError || r.stdout != "" || !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, bad+":2: front.max_channels") {
		t.Errorf("%+v, want %s", r, want)
	}
	if r = runToEnd(t, nil, "-import", filepath.Join(dir, "none")); r.status != exitError || r.stderr != filepath.Join(dir, "none")+": no such file or directory\n" {
		t.Errorf("no file: %+v", r)
	}
	for _, args := range [][]string{{"-import", ""}, {"-import"}, {"-import", good, "config.toml"}, {"-t", "-import", good}} {
		if r = runToEnd(t, nil, args...); r.status != exitUsage {
			t.Errorf("%q: %+v", args, r)
		}
	}
}
