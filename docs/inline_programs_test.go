package docs_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"icomet/server/config"
)

// variables are the names of the configuration keys in the environment.
func variables() map[string]bool {
	names := map[string]bool{}
	cfg := config.Default()
	for _, k := range config.ShowKeys(&cfg) {
		names["ICOMET_"+strings.ToUpper(strings.ReplaceAll(k.Key, ".", "_"))] = true
	}
	return names
}

var brackets = strings.NewReplacer("[flags]", "", "[", "", "]", "", "…", "")

var bars = regexp.MustCompile(`[A-Za-z]+(?:\|[A-Za-z]+)+|[A-Z]+(?: \| [A-Z]+)+`)

// alternatives are the command lines that one with [ ] and | stands for.
func alternatives(text string) []string {
	at := bars.FindStringIndex(text)
	if at == nil {
		return []string{brackets.Replace(text)}
	}
	var all []string
	for _, one := range strings.Split(text[at[0]:at[1]], "|") {
		all = append(all, alternatives(text[:at[0]]+strings.TrimSpace(one)+text[at[1]:])...)
	}
	return all
}

// split splits a command line into words as a shell does, up to a redirection.
func split(line string) (words []string, err error) {
	word, quote, open := "", rune(0), false
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ' && (word != "" || open):
			if word[:min(1, len(word))] == ">" {
				return words, nil
			}
			words, word, open = append(words, word), "", false
		case r != ' ':
			word += string(r)
		}
	}
	if quote != 0 {
		return nil, errors.New("an open quote")
	}
	return words, nil
}

// flags are those of a command, with the kind of their values; "" for none.
type flags map[string]string

var flagLines = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([\w-]+)(?: (int|string|stringArray|duration))?  `), // cobra
	regexp.MustCompile(`(?m)^  -([\w-]+)()(?: (\[?[\w|=]+\]?))?(?:[ \t]{2,}.*|\t.*)?$`),          // package flag, and icomet-server
}

// help is what a program says of a command of its own.
type help struct {
	flags flags
	text  string
}

// help runs a program for its flags.
func (c *checker) help(args ...string) (help, error) {
	line := strings.Join(args, " ")
	if h, ok := c.helps[line]; ok {
		return h, nil
	}
	ask := map[bool]string{true: "--help", false: "-help"}[args[0] == "icomet"]
	out, err := exec.CommandContext(c.t.Context(), filepath.Join(c.bin, args[0]), append(args[1:], ask)...).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "\n  -") {
		return help{}, fmt.Errorf("%s: %w: %s", line, err, out)
	}
	h := help{flags: flags{"help": ""}, text: string(out)}
	for _, pattern := range flagLines {
		for _, m := range pattern.FindAllStringSubmatch(h.text, -1) {
			for _, name := range m[1:3] {
				if name != "" {
					h.flags[name] = m[3]
				}
			}
		}
	}
	c.helps[line] = h
	return h, nil
}

var placeholder = regexp.MustCompile(`^[A-Z]+$`)

// take checks the flag that words begin with, and returns what is behind it and its value.
func (f flags) take(words []string) (name, value string, rest []string, err error) {
	name, value, has := strings.Cut(strings.TrimLeft(words[0], "-"), "=")
	kind, known := f[name]
	rest = words[1:]
	switch {
	case !known:
		return "", "", nil, fmt.Errorf("there is no flag %s", words[0])
	case kind == "" || has || len(rest) == 0: // without a value: only its name is told
		return name, value, rest, nil
	}
	value, rest = rest[0], rest[1:]
	if placeholder.MatchString(value) {
		return name, value, rest, nil
	}
	switch kind {
	case "int", "second", "bytes", "id":
		_, err = strconv.Atoi(value)
	case "duration":
		_, err = time.ParseDuration(value)
	}
	return name, value, rest, err
}

var (
	usageLine  = regexp.MustCompile(`(?m)^Usage:\n  icomet \w+(.*)$`)
	scenarios  = regexp.MustCompile(`run a scenario: ([a-z ]+)`)
	optionWord = regexp.MustCompile(`^-[a-z]+$`)
)

// icomet checks a command line of icomet: the command, its flags, and how many words it takes.
func (c *checker) icomet(_ string, words []string) error {
	if len(words) == 0 {
		return nil
	}
	h, err := c.help("icomet", words[0])
	if err != nil {
		return err
	}
	usage := usageLine.FindStringSubmatch(h.text)
	if usage == nil {
		return fmt.Errorf("there is no command %s", words[0])
	}
	least, most := 0, 0
	for _, word := range strings.Fields(usage[1]) {
		switch {
		case word == "[flags]":
		case strings.HasSuffix(word, "..."):
			least, most = least+1, 1000
		case word[0] == '[':
			most++
		default:
			least, most = least+1, most+1
		}
	}
	n := 0
	for rest := words[1:]; len(rest) > 0; {
		if rest[0][0] != '-' || rest[0] == "-" {
			n, rest = n+1, rest[1:]
		} else if _, _, rest, err = h.flags.take(rest); err != nil {
			return err
		}
	}
	if len(words) > 1 && n < least || n > most {
		return fmt.Errorf("%d words behind %s, want %d to %d", n, words[0], least, most)
	}
	return nil
}

// server checks a command line of icomet-server, and runs it if it only prints.
func (c *checker) server(_ string, words []string) error {
	h, err := c.help("icomet-server")
	if err != nil {
		return err
	}
	prints, others := false, 0
	var args []string
	for rest := words; len(rest) > 0; {
		if rest[0][0] != '-' {
			args, rest, others = append(args, c.input(rest[0])), rest[1:], others+1
			continue
		}
		name, value := "", ""
		if name, value, rest, err = h.flags.take(rest); err != nil {
			return err
		}
		switch {
		case name == "s" && value != "" && !regexp.MustCompile(`(?m)^ +`+value+`  `).MatchString(h.text):
			return fmt.Errorf("-s %q is no action", value)
		case name == "import" && value != "":
			value, prints = c.input("icomet.conf"), true
		case name == "t", name == "version", name == "h":
			prints = true
		}
		if args = append(args, "-"+name); value != "" {
			args = append(args, value)
		}
	}
	if others > 1 {
		return errors.New("one CONFIG at most")
	}
	if !prints {
		return nil
	}
	if out, err := exec.CommandContext(c.t.Context(), filepath.Join(c.bin, "icomet-server"), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// input is a file that exists for one that a page names.
func (c *checker) input(name string) string {
	switch {
	case name == "icomet.conf":
		path := filepath.Join(c.bin, name)
		if err := os.WriteFile(path, []byte("front:\n\tauth: token\n"), 0o600); err != nil {
			c.t.Fatal(err)
		}
		return path
	case placeholder.MatchString(name), name == "config.toml", name == "/etc/icomet/config.toml":
		return "../config.toml"
	}
	return name
}

// scenarios are those of icomet-bench.
func (c *checker) scenarios() []string {
	h, err := c.help("icomet-bench")
	m := scenarios.FindStringSubmatch(h.text)
	if err != nil || m == nil {
		c.t.Fatalf("icomet-bench names no scenarios: %v, %s", err, h.text)
	}
	return strings.Fields(m[1])
}

// bench checks a command line of icomet-bench, or the flags of one.
func (c *checker) bench(_ string, words []string) error {
	if len(words) == 0 || slices.Equal(words, []string{"-version"}) {
		return nil
	}
	load, err := c.help("icomet-bench", "fanout") // the flags of all scenarios
	if err != nil {
		return err
	}
	known := load.flags
	switch command := words[0]; {
	case slices.Contains([]string{"ab", "suite", "redis", "cluster"}, command):
		h, err := c.help("icomet-bench", command)
		if err != nil {
			return err
		}
		known, words = h.flags, words[1:]
	case command[0] == '-': // of a run, or of a comparison of runs
		ab, err := c.help("icomet-bench", "ab")
		if err != nil {
			return err
		}
		known = maps.Clone(known)
		maps.Copy(known, ab.flags)
	}
	for rest := words; len(rest) > 0; {
		if rest[0][0] == '-' {
			name, value := "", ""
			if name, value, rest, err = known.take(rest); err != nil {
				return err
			}
			if _, own, has := strings.Cut(value, " -- "); has && (name == "a" || name == "b") {
				if err := c.bench("", append([]string{"fanout"}, strings.Fields(own)...)); err != nil {
					return err
				}
			}
			continue
		}
		if rest[0] != "ceiling" && rest[0] != "SCENARIO" && !slices.Contains(c.scenarios(), rest[0]) {
			return fmt.Errorf("there is no scenario %s", rest[0])
		}
		known, rest = load.flags, rest[1:]
	}
	return nil
}
