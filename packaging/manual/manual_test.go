package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// at is some date of the pages.
const at = "1700000000" // 2023-11-14

// TestManual holds pages and completions to the programs.
func TestManual(t *testing.T) {
	t.Chdir("../..") // where config.toml is
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "./cmd/icomet-server", "./cmd/icomet", "./cmd/icomet-bench")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made := t.TempDir()
	if err := run(bin, made, at); err != nil {
		t.Fatal(err)
	}
	t.Run("SameBytes", func(t *testing.T) {
		again := t.TempDir()
		if err := run(bin, again, at); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("diff", "-r", made, again).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		for _, epoch := range []string{"", "today"} {
			if err := run(bin, t.TempDir(), epoch); err == nil {
				t.Errorf("a date %q is taken", epoch)
			}
		}
	})
	pages := readPages(t, made)
	t.Run("Pages", func(t *testing.T) { testPages(t, pages) })
	t.Run("Flags", func(t *testing.T) { testFlags(t, bin, pages) })
	t.Run("Keys", func(t *testing.T) { testKeys(t, pages["icomet.toml.5"]) })
	t.Run("Syntax", func(t *testing.T) { testSyntax(t, filepath.Join(made, "completion")) })
	t.Run("Bash", func(t *testing.T) { testBash(t, bin, filepath.Join(made, "completion/bash")) })
	t.Run("Fish", func(t *testing.T) { testFish(t, bin, filepath.Join(made, "completion/fish")) })
}

// readPages are the pages by name, without compression.
func readPages(t *testing.T, made string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, name := range []string{"icomet-server.8", "icomet.1", "icomet-bench.1", "icomet.toml.5"} {
		f, err := os.Open(filepath.Join(made, "man", name+".gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		if !r.ModTime.IsZero() || r.Name != "" {
			t.Errorf("%s: the time %v or the name %q is in it", name, r.ModTime, r.Name)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = string(text)
	}
	return pages
}

// request is what a line may begin with.
var request = regexp.MustCompile(`^(?:\.(?:TH|SH|SS|TP|PP|RS|RE|nf|fi|nh|ad l|br)(?: |$)|[^.'])`)

func testPages(t *testing.T, pages map[string]string) {
	_, err := exec.LookPath("groff")
	hasGroff := err == nil
	for name, page := range pages {
		title, section := name[:len(name)-2], name[len(name)-1:]
		head := ".TH " + escape(strings.ToUpper(title)) + " " + section + ` 2023-11-14 "` + escape(source()) + `" iComet` + "\n"
		if !strings.HasPrefix(page, head) || !strings.Contains(page, ".SH \"NAME\"\n"+escape(title)+` \- `) {
			t.Errorf("%s begins with\n%s", name, page[:min(len(page), 200)])
		}
		for part := range strings.SplitSeq("DESCRIPTION,SEE ALSO", ",") {
			if !strings.Contains(page, `.SH "`+part+`"`) {
				t.Errorf("%s: no %s", name, part)
			}
		}
		for n, line := range strings.Split(strings.TrimSuffix(page, "\n"), "\n") {
			if !request.MatchString(line) {
				t.Errorf("%s:%d: %q", name, n+1, line)
			}
		}
		if strings.Count(page, ".nf\n") != strings.Count(page, ".fi\n") || strings.Count(page, ".RS\n") != strings.Count(page, ".RE\n") {
			t.Errorf("%s: what is opened is not closed", name)
		}
		if !hasGroff {
			continue
		}
		cmd := exec.Command("groff", "-man", "-ww", "-z", "-Tutf8")
		cmd.Stdin = strings.NewReader(page)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// declared finds the flags of Go's package in sources.
var declared = regexp.MustCompile(`\b(?:f|set)\.\w+\((?:&[\w.]+, )?"([a-z-]+)"`)

// testFlags: the pages name the flags of the code, found there and not in the help.
func testFlags(t *testing.T, bin string, pages map[string]string) {
	want := func(page, flag string) {
		t.Helper()
		if !regexp.MustCompile(`(?m)^\\fB(?:.*, )?` + regexp.QuoteMeta(escape(flag)) + `[ ,\\]`).MatchString(pages[page]) {
			t.Errorf("%s does not have the flag %s", page, flag)
		}
	}
	for page, sources := range map[string]string{"icomet-server.8": "cmd/icomet-server/*.go", "icomet-bench.1": "cmd/icomet-bench/*.go"} {
		files, err := filepath.Glob(sources)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range declared.FindAllStringSubmatch(string(text), -1) {
				want(page, "-"+found[1])
				count++
			}
		}
		if count < 5 {
			t.Errorf("%s: %d flags found in the code", page, count)
		}
	}
	complete := func(words ...string) (offered []string) {
		out, err := exec.Command(filepath.Join(bin, "icomet"), append([]string{"__completeNoDesc"}, words...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(string(out)) {
			if !strings.HasPrefix(word, ":") {
				offered = append(offered, word)
			}
		}
		return offered
	}
	commands := complete("")
	if len(commands) < 10 {
		t.Errorf("commands are %q", commands)
	}
	for _, command := range commands {
		if command != "help" && !strings.Contains(pages["icomet.1"], "\n.SS \"icomet "+command) {
			t.Errorf("icomet.1 does not have %s", command)
		}
		for _, flag := range complete(command, "-") {
			want("icomet.1", flag)
		}
	}
}

// testKeys: every key of the shipped configuration is on its page, under its table.
func testKeys(t *testing.T, page string) {
	shipped, err := os.ReadFile("config.toml")
	if err != nil {
		t.Fatal(err)
	}
	rest := page
	keys := regexp.MustCompile(`(?m)^(?:\[+[a-z._]+\]+$|[a-z_]+ = )`).FindAllString(string(shipped), -1)
	for _, key := range keys {
		at := strings.Index(rest, escape(key))
		if at < 0 {
			t.Fatalf("%s is not on the page, or not in the file's order", key)
		}
		rest = rest[at:]
	}
	if len(keys) < 50 {
		t.Errorf("%d keys", len(keys))
	}
}

// testSyntax: the shells read the completions, those that are installed.
func testSyntax(t *testing.T, dir string) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		for _, program := range []string{"icomet", "icomet-server", "icomet-bench"} {
			file := filepath.Join(dir, shell, program)
			text, err := os.ReadFile(file)
			if err != nil || !bytes.Contains(text, []byte(program)) {
				t.Errorf("%s: %v", file, err)
			}
			if _, err := exec.LookPath(shell); err != nil && shell != "bash" {
				continue
			}
			if out, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: %v\n%s", file, err, out)
			}
		}
	}
}

// completer completes the last of its words in bash. The package bash-completion, which
// cobra's code calls, may not be installed: this function of it does what is needed here.
const completer = `
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${words[cword]} prev=${words[cword-1]}; }
__ltrim_colon_completions() { :; }
compopt() { :; }
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
spec=$(complete -p "$1")
[[ $spec =~ -F\ ([^ ]+) ]]
${BASH_REMATCH[1]} "$1"
printf '%s\n' "${COMPREPLY[@]}"
`

func testBash(t *testing.T, bin, dir string) {
	for _, c := range []struct {
		words []string // the last one is what is completed
		want  []string
	}{
		{[]string{"icomet", "su"}, []string{"sub"}},
		{[]string{"icomet", "sub", "news", "--trans"}, []string{"--transport"}},
		{[]string{"icomet-server", "-s", "re"}, []string{"restart", "reload", "reopen"}},
		{[]string{"icomet-server", "-he"}, []string{"-health"}},
		{[]string{"icomet-server", "-import", "config.t"}, []string{"config.toml"}},
		{[]string{"icomet-server", "config.t"}, []string{"config.toml"}},
		{[]string{"icomet-server", "-t", "config.t"}, []string{"config.toml"}},
		{[]string{"icomet-bench", "fan"}, []string{"fanout"}},
		{[]string{"icomet-bench", "c"}, []string{"churn", "ceiling", "cluster"}},
		{[]string{"icomet-bench", "ceiling", "fan"}, []string{"fanout"}},
		{[]string{"icomet-bench", "fanout", "-pu"}, []string{"-publishers"}},
		{[]string{"icomet-bench", "fanout", "-n", "-pu"}, nil},
		{[]string{"icomet-bench", "suite", "-upd"}, []string{"-update"}},
		{[]string{"icomet-bench", "ab", "-roun"}, []string{"-rounds"}},
	} {
		args := append([]string{"-c", completer, "bash", filepath.Join(dir, c.words[0])}, c.words...)
		cmd := exec.Command("bash", args...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if got := strings.Fields(string(out)); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v %q, want %q", c.words, err, out, c.want)
		}
	}
}

func testFish(t *testing.T, bin, dir string) {
	if _, err := exec.LookPath("fish"); err != nil {
		t.Skip(err) // make package-test installs it
	}
	for line, want := range map[string][]string{
		"icomet su":                {"sub"},
		"icomet-server -s re":      {"reload", "reopen", "restart"},
		"icomet-server -he":        {"-health"},
		"icomet-bench fan":         {"fanout"},
		"icomet-bench ceiling fan": {"fanout"},
		"icomet-bench fanout -pu":  {"-publishers"},
		"icomet-bench suite -upd":  {"-update"},
	} {
		program, _, _ := strings.Cut(line, " ")
		cmd := exec.Command("fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, filepath.Join(dir, program), line)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		var got []string
		for offered := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(offered), "\t")
			got = append(got, word)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %q, want %q", line, err, out, want)
		}
	}
}
