package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// block is a fenced part of a page.
type block struct {
	page string
	line int    // of its first line
	info string // behind the fence: the language, and "norun: WHY"
	text string
}

func (b *block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// pages are the documents of the project that have commands.
func pages(t *testing.T) (names []string) {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil || len(names) < 10 {
		t.Fatalf("pages: %q, %v", names, err)
	}
	return append(names, "../README.md")
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks are the fenced parts of a page, and the curl commands of indented ones.
func blocks(t *testing.T, page string) (found []block) {
	t.Helper()
	var open *block
	for i, line := range strings.Split(read(t, page), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open != nil:
			found = append(found, *open)
			open = nil
		case fence:
			open = &block{page: page, line: i + 2, info: info}
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "    curl "):
			found = append(found, block{page: page, line: i + 1, info: "sh", text: strings.TrimSpace(line) + "\n"})
		}
	}
	if open != nil {
		t.Errorf("%s: the fence is not closed", open)
	}
	return found
}

// tools is a folder with icomet-server and icomet, for PATH. The server takes ports of its
// own, so that a page can start one beside that of the test.
func tools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary, err := servertest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := servertest.Build(filepath.Join(dir, "icomet"), "icomet/cmd/icomet"); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nICOMET_FRONT_LISTEN=127.0.0.1:0 ICOMET_ADMIN_LISTEN=127.0.0.1:0 exec " + binary + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "icomet-server"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCommands runs every command of the pages, and compares what it prints with the text
// behind it, in which … stands for anything.
func TestCommands(t *testing.T) {
	t.Parallel()
	bin := tools(t)
	for _, page := range pages(t) {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			all := blocks(t, page)
			for _, b := range all {
				if language, _, _ := strings.Cut(b.info, " "); !slices.Contains([]string{"sh", "text", "toml", "js", "go"}, language) {
					t.Errorf("%s: what is %q?", &b, b.info)
				}
			}
			if !slices.ContainsFunc(all, func(b block) bool { return b.info == "sh" }) {
				return
			}
			s := startFor(t, page)
			dir := t.TempDir()
			for name, text := range map[string]string{
				"config.toml": read(t, "../config.toml"),
				".curlrc":     "silent\nshow-error\nfail\n", // no progress, and an error answer is an error
				"icomet.conf": "logger:\n\tlevel: info\nadmin:\n\tallow: 127.0.0.1\n\tdeny: all\nfront:\n\tauth: token\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for i, b := range all {
				switch language, why, _ := strings.Cut(b.info, " "); {
				case language == "sh" && strings.HasPrefix(why, "norun: "):
				case language == "sh":
					if strings.Contains(b.text, "https://localhost:") {
						s = startSecured(t, dir)
					}
					want := ""
					if i+1 < len(all) && all[i+1].info == "text" {
						want = all[i+1].text
					}
					b.run(t, s, bin, dir, want)
				case language == "go": // for the commands behind it
					text := s.addressed(b.text)
					if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// startFor starts a server for a page, in a process of its own: there can be one CPU profile
// of a process at a time.
func startFor(t *testing.T, page string) *running {
	t.Helper()
	environ := []string{"ICOMET_FRONT_CHANNEL_TIMEOUT=3600"} // longer than the slowest machine takes
	if page == "../README.md" {
		environ = append(environ, "ICOMET_FRONT_POLLING_TIMEOUT=1") // its first subscriber is there before the message
	}
	s := servertest.Start(t, environ...)
	return &running{t: t, front: s.Front, admin: s.Admin}
}

// startSecured starts a server with the tls.toml that a page has written into dir.
func startSecured(t *testing.T, dir string) *running {
	t.Helper()
	path := filepath.Join(dir, "tls.toml")
	text := strings.ReplaceAll(read(t, path), "127.0.0.1:8001", "127.0.0.1:0") // a port of its own
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := servertest.Command(t, servertest.Binary, []string{
		"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0", "ICOMET_FRONT_CHANNEL_TIMEOUT=3600",
	}, "tls.toml")
	cmd.Dir = dir
	p := servertest.Launch(t, cmd)
	return &running{t: t, front: "http://" + p.Address("front"), admin: "http://" + p.Address("admin")}
}

// addressed is a text with the addresses of s instead of the usual ones. The certificates of
// pages are for localhost.
func (s *running) addressed(text string) string {
	secured := func(url string) string {
		return "https://localhost" + url[strings.LastIndexByte(url, ':'):]
	}
	return strings.NewReplacer("http://127.0.0.1:8100", s.front, "http://127.0.0.1:8000", s.admin,
		"https://localhost:8100", secured(s.front), "https://localhost:8000", secured(s.admin)).Replace(text)
}

// staysOpen finds commands that do not end by themselves.
var staysOpen = regexp.MustCompile(`(?m)^(curl -N|icomet-server *(#.*)?$)`)

// run runs the commands until they have ended or, of those that stay open, until they have
// printed what they should.
func (b *block) run(t *testing.T, s *running, bin, dir, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*servertest.Patience) // one page builds a program
	defer cancel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	text := s.addressed(b.text)
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "CURL_HOME="+dir, "ICOMET="+root,
		"GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local") // what the tests were built with is there
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = end, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if staysOpen.MatchString(b.text) {
		fits := out.waitFor(ctx, want)
		_ = end() // it may have ended already
		_ = cmd.Wait()
		if !fits {
			t.Errorf("%s:\n%sprints\n%swant\n%s", b, text, out.String(), want)
		}
		return
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s:\n%s%v\n%s", b, text, err, out.String())
		return
	}
	if got := out.String(); want != "" && !likeness(want, true).MatchString(got) {
		t.Errorf("%s:\n%sprints\n%swant\n%s", b, text, got, want)
	}
}

// likeness makes … stand for anything.
func likeness(want string, whole bool) *regexp.Regexp {
	parts := strings.Split(strings.TrimSpace(want), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	expression := `(?s)^\s*` + strings.Join(parts, ".*")
	if whole {
		expression += `\s*$`
	}
	return regexp.MustCompile(expression)
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex // a leaf lock
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// waitFor waits until the output begins as wanted; without a wish, until there is any.
func (o *output) waitFor(ctx context.Context, want string) bool {
	like := likeness(want, false)
	for {
		if text := o.String(); text != "" && like.MatchString(text) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestConfigurations: the server takes every configuration of the pages.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.info != "toml" {
				continue
			}
			path := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := config.Load(path, nil); err != nil {
				t.Errorf("%s: %v", &b, err)
			}
		}
	}
}
