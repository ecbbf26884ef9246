package main

import (
	"regexp"
	"slices"
	"strings"
)

func serverPage(server *program) *page {
	p := newPage(server.name, 8, "push server for very many clients over plain HTTP")
	h := server.help
	p.synopsis(indented(h.parts["usage"]))
	p.heading("description")
	p.text(h.text)
	for _, title := range h.order {
		switch title {
		case "usage":
		case "flags":
			p.heading("options")
			p.list(server.flags)
		case "examples":
			p.heading(title)
			p.examples(h.parts[title])
		default:
			p.heading(title)
			p.text(h.parts[title])
		}
	}
	p.heading("files")
	p.list([]item{
		{head: "/etc/icomet/config.toml", text: "the configuration of the service, icomet.toml(5)"},
		{head: "/etc/default/icomet", text: "ICOMET_… variables of the service, which win over the file"},
		{head: "/var/lib/icomet", text: "for engine.snapshot"},
		{head: "/usr/share/doc/icomet", text: "README.md; packaging.md about the service; kernel settings for very many connections"},
	})
	return p.seeAlso("icomet(1)", "icomet-bench(1)", "icomet.toml(5)", "systemctl(1)")
}

// indented makes lines of a paragraph those of a list.
func indented(lines []string) (out []string) {
	for _, line := range lines {
		out = append(out, "  "+line)
	}
	return out
}

func benchPage(bench *program) *page {
	p := newPage(bench.name, 1, "put load on an iComet server and check every message")
	usage := bench.help.parts["usage"]
	p.synopsis(usage)
	p.heading("description")
	p.text(bench.help.text)
	p.heading("commands")
	p.list(items(usage))
	p.heading("options")
	for _, c := range bench.commands {
		title, flags := c.names[0], c.flags
		switch title {
		case "ceiling": // the flags of the scenarios
			continue
		case "ab":
			flags = flags[:len(flags)-len(bench.commands[0].flags)]
		case bench.commands[0].names[0]:
			title = "SCENARIO"
		}
		p.line(`.SS "` + escape(bench.name+" "+title) + `"`)
		p.list(flags)
	}
	if status := bench.help.parts["exit status"]; status != nil {
		p.heading("exit status")
		p.text(status)
	}
	return p.seeAlso("icomet(1)", "icomet-server(8)")
}

// commandPage is that of icomet, with all its commands.
func (a *asker) commandPage() *page {
	root := parse(a.help("icomet", "--help"))
	short := ""
	if len(root.text) > 2 {
		short, root.text = strings.ToLower(root.text[0][:1])+strings.TrimSuffix(root.text[0][1:], "."), root.text[2:]
	}
	p := newPage("icomet", 1, short)
	p.synopsis(root.parts["usage"])
	p.heading("description")
	p.text(root.text)
	p.heading("options")
	p.list(items(root.parts["flags"]))
	p.heading("commands")
	p.line("All of them take the options above.")
	for _, command := range items(root.parts["available commands"]) {
		if command.head != "help" { // the pages are it
			a.section(p, command.head)
		}
	}
	p.heading("examples")
	p.examples(root.parts["examples"])
	return p.seeAlso("icomet-server(8)", "icomet-bench(1)")
}

func (a *asker) section(p *page, command string) {
	h := parse(a.help("icomet", command, "--help"))
	for _, usage := range items(h.parts["usage"]) {
		p.line(`.SS "` + escape(usage.head) + `"`)
		break // further ones say that commands are below it
	}
	p.text(h.text)
	for _, title := range h.order {
		switch title {
		case "usage", "global flags": // above
		case "flags":
			p.list(slices.DeleteFunc(items(h.parts[title]), func(i item) bool { return i.head == "-h, --help" }))
		case "available commands":
			p.list(items(h.parts[title]))
		case "examples":
			p.line(".PP\nExamples:\n.PP")
			p.examples(h.parts[title])
		default:
			p.line(".PP\n" + escape(strings.ToUpper(title[:1])+title[1:]+":"))
			p.line(escape(strings.TrimSpace(strings.Join(h.parts[title], " "))))
		}
	}
}

var (
	tableLine = regexp.MustCompile(`^\[+([a-z._]+)\]+$`)
	keyLine   = regexp.MustCompile(`^[a-z_]+ = `)
)

// configPage is the shipped configuration: each key under its table, with its comment.
func configPage(shipped string) *page {
	p := newPage("icomet.toml", 5, "configuration of icomet-server")
	p.heading("description")
	first := true
	for block := range strings.SplitSeq(strings.TrimSpace(shipped), "\n\n") {
		var comment, keys []string
		for line := range strings.SplitSeq(block, "\n") {
			switch {
			case strings.HasPrefix(line, "#"):
				comment = append(comment, strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
			case tableLine.MatchString(line):
				p.line(`.SH "` + escape(line) + `"`)
				p.text(comment)
				comment = nil
			case keyLine.MatchString(line) || len(keys) > 0: // a list may have several lines
				keys = append(keys, line)
			}
		}
		if len(keys) == 0 {
			if !first {
				p.line(".PP")
			}
			first = false
			p.text(comment)
			continue
		}
		p.line(".TP\n" + bold(strings.Join(keys, " ")))
		p.line(".RS")
		p.text(comment)
		p.line(".RE")
	}
	p.heading("files")
	p.list([]item{{head: "/etc/icomet/config.toml", text: "the file of the service"}})
	return p.seeAlso("icomet-server(8)")
}
