package config

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew; check the diff")

const referenceHead = `# Configuration reference

Every key of the configuration, made from the server's code; do not edit it by hand. [config.toml](../config.toml) explains
each key, [README.md](../README.md#configuration) says how the server reads a file and the environment.

Sizes are texts like "512B", "8KiB", "1MB"; durations like "250ms", "10s", "1m30s". In a variable, the elements of a list
are separated by commas. *reload*: HUP, or ` + "`-s reload`" + `, applies the key to the running server and disconnects nobody.
*restart*: the key takes effect at the next start. *reload, first: restart*: the same, when it
changes between none and some. † The key protects the server: if a file sets it and its variable is
empty, the server does not start.
`

// TestReference compares docs/configuration.md with the keys as they are declared.
func TestReference(t *testing.T) {
	shipped, err := os.ReadFile("../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := reference(shippedComments(string(shipped)))
	const file = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines, wanted := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for i := range max(len(lines), len(wanted)) {
		if i >= len(lines) || i >= len(wanted) || lines[i] != wanted[i] {
			t.Fatalf("docs/configuration.md differs from the code from line %d on; go test ./server/config -run TestReference -update writes it anew", i+1)
		}
	}
}

// reference is docs/configuration.md. comments are those of the shipped file.
func reference(comments map[string]string) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	cfg := Default()
	section := "none"
	for _, f := range fieldsOf(&cfg) {
		of := strings.TrimSuffix(f.key, lastPart(f.key))
		if of != section {
			section = of
			if section == "admin." {
				classReference(&b, comments[classSection])
			}
			title := "[" + strings.TrimSuffix(section, ".") + "]"
			if section == "" {
				title = "Above all sections"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| key | what | default | allowed | variable | takes effect |\n|---|---|---|---|---|---|\n", title)
		}
		mark := ""
		if f.tag.Get("guard") == "yes" {
			mark = " †"
		}
		effect := map[string]string{"": "reload", "yes": "restart", "first": "reload, first: restart"}[f.tag.Get("restart")]
		fmt.Fprintf(&b, "| `%s`%s | %s | %s | %s | `%s` | %s |\n",
			lastPart(f.key), mark, f.what(comments[f.key]), asTOML(f.shown()), f.allowed(), f.variable(), effect)
	}
	return b.String()
}

// classReference is the part about [[channels]].
func classReference(b *strings.Builder, comment string) {
	b.WriteString("\n## [[channels]]\n\nA table for each class of channels, at most 200; in the file alone. What a table leaves out is as [front] says.\n" +
		"All of it takes effect with a reload, for a channel from its next publish.\n\n| key | what | allowed |\n|---|---|---|\n")
	var class ChannelClass
	for _, f := range class.fields(0) {
		name := lastPart(f.key)
		text := comment
		if at := regexp.MustCompile(" " + name + " [A-Z]").FindStringIndex(comment); at != nil {
			text = comment[at[1]-1:]
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, f.what(text), f.allowed())
	}
}

// shippedComments are the comments of the shipped file by key, each on one line. That about the
// channel classes has the name of their section.
func shippedComments(text string) map[string]string {
	comments := map[string]string{}
	section := ""
	for block := range strings.SplitSeq(text, "\n\n") {
		var comment []string
		for line := range strings.SplitSeq(block, "\n") {
			key, _, isKey := strings.Cut(line, " = ")
			switch {
			case strings.HasPrefix(line, "#"):
				comment = append(comment, strings.Trim(line, "# "))
			case strings.HasPrefix(line, "["):
				section, comment = strings.Trim(line, "[]")+".", nil
			case isKey:
				comments[section+key] = strings.Join(strings.Fields(strings.Join(comment, " ")), " ")
			}
		}
		if whole := strings.Join(strings.Fields(strings.Join(comment, " ")), " "); strings.Contains(whole, "Write a [[channels]] table") {
			comments[classSection] = whole
		}
	}
	return comments
}

// what is the beginning of the key's comment, as much of it as fits into a table.
func (f *keyField) what(text string) string {
	for _, end := range []string{". ", "; ", ": true |", " (restart)", " (reload)"} {
		text, _, _ = strings.Cut(text, end)
	}
	if head, _, found := strings.Cut(text, ": "); found && !strings.HasPrefix(head, "For ") && !strings.HasPrefix(head, "Used ") && !strings.Contains(head, "(") {
		text = head
	}
	if least, most, found := strings.Cut(f.tag.Get("range"), ".."); found {
		text = strings.ReplaceAll(text, ", "+least+" to "+most, "") // it has a column of its own
	}
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimSpace(text), "."), "|", "\\|")
}

// asTOML is a value as it stands in a file.
func asTOML(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("`%q`", v)
	case []string:
		return "`[" + strings.Join(quoted(v), ", ") + "]`"
	}
	return fmt.Sprintf("`%v`", v)
}

func quoted(list []string) (out []string) {
	for _, s := range list {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return out
}

// formWords say what the forms of texts are.
var formWords = map[string]string{
	"": "any text", "not empty": "a text that is not empty", "address": "host:port", "server": "host:port of another server",
	"network": "an address, a network like 10.0.0.0/8, or all", "origin": "an origin like https://example.com, or *",
	"host": "a host name, or *", "prefix": "a text without { and }", "key": "visible ASCII without spaces", "glob": "a name, with * and ?",
	"certificate": "CERTIFICATE:KEY, or one file with both", "curve": "X25519MLKEM768, X25519, P256, P384, P521",
	"address or empty": `host:port, or ""`, "hsts": `a text with max-age=SECONDS, or ""`,
}

// allowed says which values the key takes.
func (f *keyField) allowed() string {
	text := formWords[f.tag.Get("form")]
	switch kind := f.value.Kind(); {
	case f.tag.Get("oneof") != "":
		return strings.ReplaceAll(f.tag.Get("oneof"), "|", ", ")
	case f.tag.Get("range") != "":
		least, most, _ := strings.Cut(f.tag.Get("range"), "..")
		text = least + " to " + most
		if f.tag.Get("unset") == "yes" {
			text += ", or " + map[bool]string{true: "0", false: `""`}[kind == reflect.Int]
		}
		return text
	case kind == reflect.Bool:
		return "true, false"
	case kind == reflect.Slice:
		return "a list; each: " + text
	}
	return text
}

// TestReferenceForms: every form of a text has words.
func TestReferenceForms(t *testing.T) {
	for form := range textForms {
		if formWords[form] == "" {
			t.Errorf("%q has none", form)
		}
	}
}
