package main

import (
	"regexp"
	"strings"
)

// help is a help text, taken apart.
type help struct {
	text  []string            // what is in no section: paragraphs
	parts map[string][]string // the lines of "Title:", by the title in lower case
	order []string            // the titles
}

var titleLine = regexp.MustCompile(`^([A-Za-z]+(?: [A-Za-z]+)?):(?: +(\S.*))?$`)

// parse takes a help text apart. "Title:" alone begins a section of indented lines,
// "Title: text" one that ends with its paragraph.
func parse(text string) *help {
	h := &help{parts: map[string][]string{}}
	title, paragraph, before := "", false, ""
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		found := titleLine.FindStringSubmatch(line)
		switch {
		case found != nil && before == "":
			title, paragraph = strings.ToLower(found[1]), found[2] != ""
			h.order = append(h.order, title)
			h.parts[title] = nil
			if paragraph {
				h.parts[title] = []string{found[2]}
			}
		case title != "" && (paragraph && line != "" || !paragraph && (line == "" || line[0] == ' ')):
			h.parts[title] = append(h.parts[title], line)
		case strings.HasPrefix(line, `Use "`): // cobra's hint to more help, which is on the page
		default:
			title = ""
			h.text = append(h.text, line)
		}
		before = line
	}
	return h
}

// item is a flag or a command, and what it does.
type item struct {
	head   string // "-n, --count int"
	text   string
	values []item // what a flag may be set to
}

var (
	itemLine  = regexp.MustCompile(`^ {2,6}([^ \t].*?)(?:(?: {2,}|\t)(.*))?$`)
	valueLine = regexp.MustCompile(`^ +([a-z]+) {2,}(\S.*)$`)
)

// items reads a list: what a line begins with, and after at least two spaces, or on further
// lines, the text.
func items(lines []string) (list []item) {
	for _, line := range lines {
		if found := itemLine.FindStringSubmatch(line); found != nil {
			list = append(list, item{head: found[1], text: found[2]})
			continue
		}
		if len(list) == 0 || strings.TrimSpace(line) == "" {
			continue
		}
		last := &list[len(list)-1]
		if found := valueLine.FindStringSubmatch(line); found != nil {
			last.values = append(last.values, item{head: found[1], text: found[2]})
		} else {
			last.text = strings.TrimSpace(last.text + " " + strings.TrimSpace(line))
		}
	}
	return list
}

// names are the names of a flag, with their dashes.
func (i *item) names() (names []string) {
	for word := range strings.FieldsSeq(i.head) {
		if strings.HasPrefix(word, "-") {
			names = append(names, strings.TrimSuffix(word, ","))
		}
	}
	return names
}

// value is what a flag is set to, "" if to nothing.
func (i *item) value() string {
	words := strings.Fields(i.head)
	if last := words[len(words)-1]; !strings.HasPrefix(last, "-") {
		return last
	}
	return ""
}

// program is one that has Go's flags, not cobra's.
type program struct {
	name     string
	help     *help
	commands []command
	flags    []item // without a command
}

type command struct {
	names []string // those that have the same flags
	flags []item
	rest  []string // what may come behind the command besides flags
}

func (a *asker) server() *program {
	p := &program{name: "icomet-server", help: parse(a.help("icomet-server", "-h"))}
	p.flags = items(p.help.parts["flags"])
	return p
}

var scenarioList = regexp.MustCompile(`run a scenario: ([a-z ]+)`)

func (a *asker) bench() *program {
	p := &program{name: "icomet-bench", help: parse(a.help("icomet-bench", "-h"))}
	found := scenarioList.FindStringSubmatch(strings.Join(p.help.parts["usage"], "\n"))
	if found == nil { // without a list it is not the help that this file reads
		return p
	}
	scenarios := strings.Fields(found[1])
	flags := func(command string) []item {
		_, lines, _ := strings.Cut(a.help(p.name, command, "-help"), "\n") // the first line is its usage
		return items(strings.Split(lines, "\n"))
	}
	common := flags(scenarios[len(scenarios)-1]) // it has no defaults of its own, as the first has
	p.commands = []command{
		{names: scenarios, flags: common},
		{names: []string{"ceiling"}, flags: common, rest: scenarios},
		{names: []string{"ab"}, flags: append(flags("ab"), common...), rest: scenarios},
	}
	for _, name := range []string{"suite", "redis", "cluster"} {
		p.commands = append(p.commands, command{names: []string{name}, flags: flags(name)})
	}
	p.flags = []item{{head: "-version", text: "print the version"}, {head: "-help", text: "print the commands"}}
	return p
}
