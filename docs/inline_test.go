package docs_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"icomet/server/servertest"
)

// unchecked are the tools whose command lines nothing here checks, and why.
var unchecked = map[string]string{
	"dmesg":  "a container may not read the kernel's log",
	"docker": "there is no engine; the tests of packaging read its files",
	"dpkg":   "make package-test runs the installation",
	"git":    "it would push",
	"rpm":    "make package-test runs the installation",
}

// notCommands are the code spans that look like a command or a path and are none.
var notCommands = map[string]string{
	"--":                                 "what divides a server's own flags from the others",
	"-quick":                             "a flag of bench/redis/redis, told beside it",
	"--stop-timeout":                     "a flag of docker run",
	"-dirty":                             "the end of a commit's name",
	"/ops/icomet/":                       "a prefix at somebody's proxy",
	"appendfsync everysec":               "Redis' configuration",
	"appendonly yes":                     "Redis' configuration",
	"application/json":                   "a media type",
	"application/x-ndjson":               "a media type",
	"application/x-www-form-urlencoded":  "a media type",
	"client-output-buffer-limit pubsub":  "Redis' configuration",
	"connect-src wss://push.example.com": "a content security policy",
	"http/1.1":                           "the name of a protocol",
	"mode tcp":                           "HAProxy's configuration",
	"/etc/icomet/renewed":                "a script of the reader's",
	"ICOMET_TEST_TLS=1.3":                "for tests, not for the server",
	"icomet.conf":                        "the configuration of an original server",
	"import { iComet } from 'icomet'":    "JavaScript",
	"new iComet({channel, signUrl, subUrl, pubUrl, callback})": "JavaScript",
	"maxmemory-policy noeviction":                              "Redis' configuration",
	"ok NEXTSEQ":                                               "an answer of the server",
	"testing/synctest":                                         "a package of Go",
	"text/event-stream":                                        "a media type",
	"text/html":                                                "a media type",
	"text/javascript":                                          "a media type",
}

// otherPages are the pages outside this folder whose commands TestCommands does not run.
var otherPages = []string{
	"../packaging/README.md", "../web/README.md", "../client/README.md", "../bench/README.md", "../CONTRIBUTING.md",
}

// snippet is a code span of a page, or a line of a block of code.
type snippet struct {
	page string
	line int
	text string
	span bool
}

func (s *snippet) String() string { return fmt.Sprintf("%s:%d: `%s`", s.page, s.line, s.text) }

var codeSpan = regexp.MustCompile("`([^`]+)`")

// snippets finds the code of a page: all but the fenced blocks that TestCommands runs.
func snippets(page, text string) (found []snippet) {
	fenced, shell := false, false
	for i, line := range strings.Split(text, "\n") {
		add := func(text string, span bool) {
			found = append(found, snippet{page, i + 1, strings.TrimSpace(strings.ReplaceAll(text, `\|`, "|")), span})
		}
		switch info, fence := strings.CutPrefix(line, "```"); {
		case fence:
			fenced, shell = !fenced, strings.HasPrefix(info, "sh norun")
		case fenced && shell, !fenced && strings.HasPrefix(line, "    "):
			command, _, _ := strings.Cut(line, "  #")
			add(command, false)
		case !fenced:
			for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
				add(m[1], true)
			}
		}
	}
	return found
}

// looksLikeCommand: several words, of which the first could be a program's name.
var looksLikeCommand = regexp.MustCompile(`^[a-z][a-z0-9./_-]*( [^ =]\S*)+$`)

// checker knows what the commands of the pages may say.
type checker struct {
	t       *testing.T
	bin     string // the folder of the three programs
	makes   string // the Makefile
	unit    string // icomet.service
	nfpm    string // what the packages install
	sysctls string // the examples of kernel settings
	keys    map[string]bool
	calls   []*call
	files   []string        // of the project, from its root
	helps   map[string]help // by the program and its command
	tools   map[string]func(page string, words []string) error
	seen    map[string]bool // of unchecked and notCommands
}

func newChecker(t *testing.T) *checker {
	t.Helper()
	c := &checker{
		t: t, bin: t.TempDir(), makes: read(t, "../Makefile"), unit: read(t, "../packaging/icomet.service"),
		nfpm: read(t, "../packaging/nfpm.yaml"), sysctls: read(t, "../packaging/sysctl.conf") + read(t, "../bench/million/sysctl.conf"),
		keys: variables(), calls: readDocument(t).calls, helps: map[string]help{}, seen: map[string]bool{},
	}
	server, err := servertest.PlainBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(server, filepath.Join(c.bin, "icomet-server")); err != nil {
		t.Fatal(err)
	}
	// Without the race detector, which takes three times as long: they only print their help.
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", c.bin, "icomet/cmd/icomet", "icomet/cmd/icomet-bench").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	err = filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() && slices.Contains([]string{".git", "node_modules"}, d.Name()) {
			return filepath.SkipDir // a test beside this one removes its files
		}
		c.files = append(c.files, strings.TrimPrefix(path, "../"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.tools = map[string]func(string, []string) error{
		"make": c.make, "go": c.goTool, "curl": c.curl, "man": c.man,
		"systemctl": c.systemd, "journalctl": c.systemd, "systemd-analyze": c.systemd, "ss": c.runs("ss"), "ulimit": c.runs("ulimit"), "redis-benchmark": c.runs("redis-benchmark"),
		"icomet": c.icomet, "icomet-server": c.server, "icomet-bench": c.bench,
	}
	return c
}

// check says whether a snippet is a command, or the name of a file, a path of the server, a
// kernel setting or a variable, and what is wrong with it.
func (c *checker) check(page, text string) (known bool, err error) {
	for _, table := range []map[string]string{unchecked, notCommands} {
		if table[text] != "" {
			c.seen[text] = true
			return true, nil
		}
	}
	for _, alternative := range alternatives(text) {
		for _, simple := range strings.Split(alternative, " && ") {
			words, err := split(simple)
			if err != nil {
				return false, nil
			}
			one, err := c.simple(page, words)
			if err != nil {
				return true, err
			}
			known = known || one
		}
	}
	return known, nil
}

// simple checks one command without operators.
func (c *checker) simple(page string, words []string) (known bool, err error) {
	for len(words) > 0 && variable.MatchString(words[0]) {
		if err := c.variable(page, words[0]); err != nil || len(words) == 1 {
			return true, err
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return false, nil
	}
	first := words[0]
	program := strings.TrimPrefix(strings.TrimPrefix(first, "./"), "bin/")
	tool := c.tools[program]
	switch bench := strings.HasPrefix(page, "../bench/"); {
	case tool != nil:
		return true, tool(page, words[1:])
	case unchecked[first] != "":
		c.seen[first] = true
		return true, nil
	case bench && (first[0] == '-' || len(words) > 1 && slices.Contains(c.scenarios(), first)):
		return true, c.bench(page, words)
	case optionWord.MatchString(first):
		return true, c.server(page, words)
	case len(words) == 1 && manualPage.MatchString(first):
		m := manualPage.FindStringSubmatch(first)
		return true, c.man(page, []string{m[1] + "." + m[2]})
	case len(words) == 1 && kernelSetting.MatchString(first):
		return true, c.kernelSetting(first)
	case strings.HasPrefix(first, "/") || strings.HasPrefix(first, "ws://"):
		return len(words) == 1 && len(first) > 1, c.place(first)
	case filePath.MatchString(first):
		return true, c.file(page, words)
	}
	return false, nil
}

// TestInline checks the commands in the running text of the pages: programs, flags, targets,
// paths and files that they name exist. It runs those that change nothing.
func TestInline(t *testing.T) {
	t.Parallel()
	c := newChecker(t)
	t.Run("Pages", func(t *testing.T) { testPages(t, c) })
	t.Run("Mistakes", func(t *testing.T) { testMistakes(t, c) })
	t.Run("Snippets", testSnippets)
}

func testPages(t *testing.T, c *checker) {
	checked := map[string]int{}
	for _, page := range append(pages(t), otherPages...) {
		for _, s := range snippets(page, read(t, page)) {
			known, err := c.check(page, s.text)
			switch {
			case err != nil:
				t.Errorf("%s: %v", &s, err)
			case known:
				checked[strings.Fields(s.text)[0]]++
			case s.span && looksLikeCommand.MatchString(s.text):
				t.Errorf("%s: nothing checks this command, and no list says why", &s)
			}
		}
	}
	for name := range maps.Keys(unchecked) {
		if !c.seen[name] {
			t.Errorf("no page has %s any more: take it from unchecked", name)
		}
	}
	for name := range maps.Keys(notCommands) {
		if !c.seen[name] {
			t.Errorf("no page has %s any more: take it from notCommands", name)
		}
	}
	for name, least := range map[string]int{"make": 25, "icomet": 6, "icomet-server": 5, "icomet-bench": 8, "curl": 2, "go": 8} {
		if checked[name] < least {
			t.Errorf("%d command lines of %s were found, want %d", checked[name], name, least)
		}
	}
}

// testMistakes: what is wrong in a page is found, and nothing else is.
func testMistakes(t *testing.T, c *checker) {
	for _, good := range []string{
		"make demo DEMO_LISTEN=0.0.0.0:8080", "icomet sub news sports -t ws", "icomet-server -t config.toml", "ICOMET_FRONT_LISTEN=:80 icomet-server",
		"icomet-bench ab -a OLD -b \"NEW -- -transport ws\" fanout -n 100", "curl 'http://127.0.0.1:8000/push?cname=a&content=hi'", "server/reactor",
	} {
		if known, err := c.check("../README.md", good); !known || err != nil {
			t.Errorf("%s: %v, %v", good, known, err)
		}
	}
	for _, bad := range []string{
		"make demmo", "make demo DEMO_LISTN=x", "make build && make demmo",
		"icomet subb news", "icomet sub news --lst 3", "icomet sub news --last x", "icomet pub news", "icomet pub a b c", "icomet top -x",
		"icomet-server -tt config.toml", "icomet-server -s relod config.toml", "icomet-server a b", "icomet-server -t nosuch.toml",
		"ICOMET_FRONT_LISTN=:80 icomet-server", "ICOMET_FRONT_LISTN", "-helth",
		"icomet-bench fanot", "icomet-bench fanout -nn 3", "icomet-bench fanout -n x", "icomet-bench ab -c x fanout", "icomet-bench suite -nodes 3",
		`icomet-bench ab -a A -b "B -- -transprt ws" fanout`,
		"curl http://127.0.0.1:8000/psh?cname=a", "curl http://127.0.0.1:8000/push?cnam=a", "curl http://127.0.0.1:8100/push?cname=a", "curl --nosuch http://127.0.0.1:8000/stats",
		"curl -X DELETE http://127.0.0.1:8000/push?cname=a", "/psh", "/push?cnam=", "ws://127.0.0.1:8100/wss",
		"systemctl relod icomet", "systemctl reload icomt", "journalctl -u icomt", "man icomet-sever", "icomet-sever(8)",
		"go tst ./client", "go test ./nosuch", "go test ./server/config -run TestNosuch", "go test ./client -nosuch", "go doc -al ./client",
		"net.core.somaxcon", "server/nosuch", "nosuch.go", "bench/million/real --aply", "/etc/icomet/nosuch.toml", "ulimit -Z",
	} {
		if known, err := c.check("../README.md", bad); !known || err == nil {
			t.Errorf("%s: nothing is wrong with it? %v", bad, known)
		}
	}
}

// testSnippets: all code of a page is found, and a command that nobody knows is noticed.
func testSnippets(t *testing.T) {
	text := "Run `make demmo`, then\n\n    curl /nosuch  # why\n\n```sh\nnot this\n```\n```sh norun: why\nbut this\n```\n| `a\\|b` | frobnicate it |\n"
	var got []string
	for _, s := range snippets("x.md", text) {
		got = append(got, fmt.Sprintf("%d %s %v", s.line, s.text, s.span))
	}
	if want := []string{"1 make demmo true", "3 curl /nosuch false", "9 but this false", "11 a|b true"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !looksLikeCommand.MatchString("frobnicate -x it") || looksLikeCommand.MatchString(`auth = "token"`) {
		t.Error("a command that nobody knows would not be noticed")
	}
}
