package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Completions of the programs with Go's flags. icomet's are cobra's.

// words are the commands and, without a command, the flags.
func (p *program) words() (words []string) {
	for _, c := range p.commands {
		words = append(words, c.names...)
	}
	return append(words, names(p.flags)...)
}

func names(flags []item) (names []string) {
	for _, f := range flags {
		names = append(names, f.names()...)
	}
	return names
}

// choices are the values that a flag can have, if they are known.
func (i *item) choices() string {
	var words []string
	for _, v := range i.values {
		words = append(words, v.head)
	}
	return strings.Join(words, " ")
}

// path tells whether the value of a flag is, or begins with, the name of a file.
func (i *item) path() bool {
	switch i.value() {
	case "FILE", "[CONFIG|URL]", "file", "server", "command":
		return true
	}
	return false
}

// optional tells whether a flag is complete without its value.
func (i *item) optional() bool { return strings.HasPrefix(i.value(), "[") }

func function(name string) string { return "_" + strings.ReplaceAll(name, "-", "_") }

const bashHead = `# bash completion for %[1]s, made from its help

%[2]s() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
`

func (p *program) bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, bashHead, p.name, function(p.name))
	if len(p.commands) == 0 {
		bashFlags(&b, p.flags, nil)
		b.WriteString("\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\") # CONFIG\n")
	} else {
		fmt.Fprintf(&b, "\tif ((COMP_CWORD == 1)); then\n\t\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\")\n\t\treturn\n\tfi\n",
			strings.Join(p.words(), " "))
		b.WriteString("\tcase ${COMP_WORDS[1]} in\n")
		for _, c := range p.commands {
			fmt.Fprintf(&b, "\t%s)\n", strings.Join(c.names, " | "))
			bashFlags(&b, c.flags, c.rest)
			b.WriteString("\t\t;;\n")
		}
		b.WriteString("\tesac\n")
	}
	fmt.Fprintf(&b, "}\ncomplete -o filenames -F %s %s\n", function(p.name), p.name)
	return b.String()
}

// bashFlags completes the value of the flag before, or a flag, or one of the other words.
func bashFlags(b *strings.Builder, flags []item, rest []string) {
	const none = ""
	const files = `mapfile -t COMPREPLY < <(compgen -f -- "$cur"); `
	by := map[string][]string{} // the flags by how their values are completed
	for _, f := range flags {
		how := none
		switch {
		case f.value() == "" || f.optional():
			continue
		case f.choices() != "":
			how = fmt.Sprintf(`mapfile -t COMPREPLY < <(compgen -W '%s' -- "$cur"); `, f.choices())
		case f.path():
			how = files
		}
		by[how] = append(by[how], f.names()...)
	}
	b.WriteString("\tcase $prev in\n")
	for _, how := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(b, "\t%s) %sreturn ;;\n", strings.Join(by[how], " | "), how)
	}
	b.WriteString("\tesac\n")
	words := append(names(flags), rest...)
	condition := `[[ $cur == -* ]]`
	if len(rest) > 0 {
		condition = "true"
	}
	fmt.Fprintf(b, "\tif %s; then\n\t\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\")\n\t\treturn\n\tfi\n", condition, strings.Join(words, " "))
}

// zshText is a description in an argument of _arguments, in single quotes.
func zshText(text string) string {
	return strings.NewReplacer(`'`, `'\''`, `[`, `\[`, `]`, `\]`, `:`, `\:`).Replace(text)
}

func (p *program) zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# made from its help\n\n", p.name)
	if len(p.commands) == 0 {
		zshFlags(&b, p.flags, "'::CONFIG:_files'")
		return b.String()
	}
	fmt.Fprintf(&b, "if ((CURRENT == 2)); then\n\tcompadd -- %s\n\treturn\nfi\n", strings.Join(p.words(), " "))
	b.WriteString("local command=$words[2]\nshift words\n((CURRENT--))\ncase $command in\n")
	for _, c := range p.commands {
		rest := ""
		if len(c.rest) > 0 {
			rest = fmt.Sprintf("':SCENARIO:(%s)'", strings.Join(c.rest, " "))
		}
		fmt.Fprintf(&b, "%s)\n", strings.Join(c.names, "|"))
		zshFlags(&b, c.flags, rest)
		b.WriteString(";;\n")
	}
	b.WriteString("esac\n")
	return b.String()
}

func zshFlags(b *strings.Builder, flags []item, rest string) {
	b.WriteString("_arguments")
	for _, f := range flags {
		for _, name := range f.names() {
			value := ""
			switch {
			case f.choices() != "":
				value = fmt.Sprintf(":%s:(%s)", zshText(f.value()), f.choices())
			case f.optional():
				value = "::" + zshText(f.value()) + ":_files"
			case f.path():
				value = ":" + zshText(f.value()) + ":_files"
			case f.value() != "":
				value = ":" + zshText(f.value()) + ": "
			}
			fmt.Fprintf(b, " \\\n\t'*%s[%s]%s'", name, zshText(f.text), value)
		}
	}
	if rest != "" {
		b.WriteString(" \\\n\t" + rest)
	}
	b.WriteString("\n")
}

func fishText(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

func (p *program) fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %s, made from its help\n\n", p.name)
	if len(p.commands) == 0 {
		fishFlags(&b, p.name, "", p.flags)
		return b.String()
	}
	fmt.Fprintf(&b, "complete -c %s -f\n", p.name)
	fishFlags(&b, p.name, "__fish_use_subcommand", p.flags)
	for _, c := range p.commands {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -a '%s'\n", p.name, strings.Join(c.names, " "))
		here := "__fish_seen_subcommand_from " + strings.Join(c.names, " ")
		fishFlags(&b, p.name, here, c.flags)
		if len(c.rest) > 0 {
			fmt.Fprintf(&b, "complete -c %s -n %s -a '%s'\n", p.name, fishText(here), strings.Join(c.rest, " "))
		}
	}
	return b.String()
}

// fishFlags writes flags that are offered under a condition, if there is one.
func fishFlags(b *strings.Builder, program, condition string, flags []item) {
	if condition != "" {
		condition = " -n " + fishText(condition)
	}
	for _, f := range flags {
		for _, name := range f.names() {
			how := ""
			switch {
			case f.choices() != "":
				how = " -x -a " + fishText(f.choices())
			case f.optional():
				how = " -F"
			case f.path():
				how = " -r -F"
			case f.value() != "":
				how = " -x"
			}
			kind := "-o " // a long name behind one dash
			if len(name) == 2 {
				kind = "-s "
			}
			fmt.Fprintf(b, "complete -c %s%s %s%s -d %s%s\n", program, condition, kind, strings.TrimLeft(name, "-"), fishText(f.text), how)
		}
	}
}
