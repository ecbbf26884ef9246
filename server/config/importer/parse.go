package importer

import (
	"strings"

	"icomet/server/config"
)

// entry is one line of the original's file: a key with its sections ("front.listen") and a
// value, which is "" for the head of a section.
type entry struct {
	line       int // from 1
	key, value string
}

const byteOrderMark = "\ufeff"

// parse reads the original's format: KEY: VALUE or KEY = VALUE, with as many tabs in front
// as there are sections around it. # begins a comment line.
func parse(file, text string) (entries []entry, faults []error) {
	fault := func(line int, key, reason string) {
		faults = append(faults, &config.Error{File: file, Line: line, Key: key, Reason: reason})
	}
	var sections []string // the keys above, and that of the last line
	for i, line := range strings.Split(strings.TrimPrefix(text, byteOrderMark), "\n") {
		rest := strings.TrimLeft(line, "\t")
		depth := len(line) - len(rest)
		trimmed := strings.TrimSpace(rest)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if rest[0] == ' ' {
			fault(i+1, "", "the line is indented with spaces: the original takes tabs only")
			continue
		}
		if depth > len(sections) {
			fault(i+1, "", "the line is indented deeper than the one above allows")
			continue
		}
		at := strings.IndexAny(trimmed, ":=")
		if at < 0 {
			fault(i+1, shown(trimmed), "there is no : or = behind the key")
			continue
		}
		key, value := strings.TrimSpace(trimmed[:at]), strings.TrimSpace(trimmed[at+1:])
		if key == "" {
			fault(i+1, "", "there is no key before "+trimmed[at:at+1])
			continue
		}
		sections = append(sections[:depth], key)
		entries = append(entries, entry{line: i + 1, key: strings.Join(sections, "."), value: value})
	}
	return entries, faults
}

// shown is a text for a message: short, and without control characters.
func shown(text string) string {
	const most = 60
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
