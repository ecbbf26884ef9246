package main

import (
	"fmt"
	"strings"
)

// page is a manual page in roff, with the macros of man(7).
type page struct {
	name    string
	section int
	body    strings.Builder
}

func newPage(name string, section int, short string) *page {
	p := &page{name: name, section: section}
	p.heading("name")
	p.line(escape(name) + ` \- ` + escape(short))
	return p
}

// in is the whole page of a date.
func (p *page) in(date string) string {
	return fmt.Sprintf(".TH %s %d %s \"%s\" iComet\n.nh\n.ad l\n", escape(strings.ToUpper(p.name)), p.section, date, escape(source())) +
		p.body.String()
}

var roff = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`, `"`, `\(dq`, "…", "...")

// escape makes a text safe for roff: nothing of it is a request, and what is copied from a
// page is what was typed.
func escape(text string) string {
	var b strings.Builder
	for _, r := range roff.Replace(text) {
		if r < 128 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	if strings.HasPrefix(text, ".") {
		return `\&` + b.String()
	}
	return b.String()
}

func bold(text string) string { return `\fB` + escape(text) + `\fR` }

func (p *page) line(text string)    { p.body.WriteString(text + "\n") }
func (p *page) heading(text string) { p.line(`.SH "` + escape(strings.ToUpper(text)) + `"`) }

// text writes paragraphs. Indented lines stay as they are.
func (p *page) text(lines []string) {
	literal, blank, begun := false, false, false
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			blank = true
			continue
		}
		indented := line[0] == ' '
		if literal && !indented {
			p.line(".fi")
		}
		if begun && (blank || indented != literal) {
			p.line(".PP")
		}
		if indented && !literal {
			p.line(".nf")
		}
		if indented {
			p.line(`\&` + escape(line))
		} else {
			p.line(escape(line))
		}
		literal, blank, begun = indented, false, true
	}
	if literal {
		p.line(".fi")
	}
}

// list writes flags or commands.
func (p *page) list(list []item) {
	for _, i := range list {
		p.line(".TP\n" + bold(i.head))
		p.line(escape(i.text))
		if len(i.values) > 0 {
			p.line(".RS")
			p.list(i.values)
			p.line(".RE")
		}
	}
}

// synopsis writes the ways of use.
func (p *page) synopsis(lines []string) {
	p.heading("synopsis")
	for n, i := range items(lines) {
		if n > 0 {
			p.line(".br")
		}
		p.line(bold(i.head))
	}
}

func (p *page) examples(lines []string) {
	p.line(".nf")
	for _, line := range lines {
		if line != "" {
			p.line(`\&` + escape(line))
		}
	}
	p.line(".fi")
}

func (p *page) seeAlso(pages ...string) *page {
	p.heading("see also")
	for n, name := range pages {
		title, section, _ := strings.Cut(name, "(")
		end := ","
		if n == len(pages)-1 {
			end = ""
		}
		p.line(bold(title) + "(" + section + end)
	}
	return p
}
