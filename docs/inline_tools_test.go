package docs_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

var (
	variable      = regexp.MustCompile(`^(ICOMET_[A-Z_]+|[A-Z_]{8,})(=.*)?$`)
	manualPage    = regexp.MustCompile(`^(icomet[a-z.-]*)\((\d)\)$`)
	kernelSetting = regexp.MustCompile(`^(net|fs|vm|kernel)\.[a-z0-9_.-]+$`)
	filePath      = regexp.MustCompile(`^\.?[a-z][\w.-]*(/[\w.-]+)+/?$|^[\w-]+/$|^[a-z][\w-]*\.(go|md|toml|ya?ml|conf|json|lua|c|service|m?js)$`)
	testName      = regexp.MustCompile(`^(Test|Benchmark|Fuzz)\w+$`)
)

// variable checks NAME=VALUE: a key of the configuration, or for the Makefile in CONTRIBUTING.md.
func (c *checker) variable(page, word string) error {
	name, _, _ := strings.Cut(word, "=")
	switch {
	case c.keys[name]:
	case strings.HasPrefix(name, "ICOMET_"):
		return fmt.Errorf("there is no key for %s", name)
	case page == "../CONTRIBUTING.md" && !strings.Contains(c.makes, "$("+name+")"):
		return fmt.Errorf("the Makefile does not use %s", name)
	}
	return nil
}

// make checks that the targets exist, and that the Makefile uses the variables.
func (c *checker) make(_ string, words []string) error {
	for _, word := range words {
		name, _, set := strings.Cut(word, "=")
		switch {
		case set && !strings.Contains(c.makes, "$("+name+")"):
			return fmt.Errorf("the Makefile does not use %s", name)
		case !set && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`:`).MatchString(c.makes):
			return fmt.Errorf("there is no target %s", name)
		}
	}
	return nil
}

// curl checks its flags, and the call of the server.
func (c *checker) curl(_ string, words []string) error {
	out, err := exec.CommandContext(c.t.Context(), "curl", "--help", "all").Output()
	if err != nil {
		return err
	}
	method, address := "GET", ""
	for i, word := range words {
		switch {
		case word[0] == '-':
			if !regexp.MustCompile(`(?m)^ +(-., )?` + regexp.QuoteMeta(word) + `[ ,]`).Match(out) {
				return fmt.Errorf("curl has no flag %s", word)
			}
			if strings.HasPrefix(word, "-d") || strings.HasPrefix(word, "--data") {
				method = "POST"
			}
		case i > 0 && words[i-1] == "-X":
			method = word
		case strings.Contains(word, "://"):
			address = word
		}
	}
	if address == "" {
		return nil
	}
	return c.call(method, address)
}

// call checks that the API has a call, with these parameters. Without a method it may be any.
func (c *checker) call(method, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	found, why := false, fmt.Errorf("the API has no path %s", u.Path)
	for _, call := range c.calls {
		if call.path != u.Path || method != "" && call.method != method || u.Port() == "8000" && !call.admin || u.Port() == "8100" && call.admin {
			continue
		}
		found = true
		missing := ""
		for name := range u.Query() {
			is := func(p *openapi3.Parameter) bool { return p.Name == name }
			own := func(p *openapi3.ParameterRef) bool { return is(p.Value) }
			if !slices.ContainsFunc(call.params, is) && !slices.ContainsFunc(call.op.Parameters, own) {
				missing = name
			}
		}
		if missing == "" {
			return nil
		}
		why = fmt.Errorf("%s has no parameter %s", call, missing)
	}
	if !found && method != "" {
		return fmt.Errorf("the API has no %s %s at port %s", method, u.Path, u.Port())
	}
	return why
}

// place checks a word that begins with /: a file of the packages, or a path of the API.
func (c *checker) place(word string) error {
	if regexp.MustCompile(`^/(etc|usr|var)/`).MatchString(word) {
		installed := strings.NewReplacer("/var/lib/", "StateDirectory=", "/var/log/", "LogsDirectory=").Replace(word)
		if !strings.Contains(c.nfpm, "dst: "+word+",") && !strings.Contains(c.unit, installed+"\n") {
			return fmt.Errorf("the packages have no %s", word)
		}
		return nil
	}
	return c.call("", word)
}

// file checks that a file is in the project, named from its root or from the page's folder,
// or by its last name alone; and that the words behind a script are words of it.
func (c *checker) file(page string, words []string) error {
	path := strings.TrimSuffix(words[0], "/")
	folder, _, _ := strings.Cut(path, "/")
	if folder == "dist" || folder == "bin" { // made by the Makefile, see .gitignore
		return nil
	}
	if !strings.Contains(path, "/") && filepath.Ext(path) != "" {
		if !slices.ContainsFunc(c.files, func(file string) bool { return filepath.Base(file) == path }) {
			return fmt.Errorf("no file of the project is called %s", path)
		}
		return nil
	}
	for _, from := range []string{"..", filepath.Dir(page)} {
		name := filepath.Join(from, strings.TrimPrefix(path, "icomet/")) // the module's name
		info, err := os.Stat(name)
		if err != nil {
			continue
		}
		for _, word := range words[1:] {
			if strings.HasPrefix(word, "-") && (info.IsDir() || !strings.Contains(read(c.t, name), word)) {
				return fmt.Errorf("%s has no %s", name, word)
			}
		}
		return nil
	}
	return fmt.Errorf("the project has no %s", path)
}

// man checks that the packages have a manual page.
func (c *checker) man(_ string, words []string) error {
	for _, word := range words {
		if !regexp.MustCompile(`/` + regexp.QuoteMeta(word) + `(\.\d)?\.gz,`).MatchString(c.nfpm) {
			return fmt.Errorf("there is no manual page %s", word)
		}
	}
	return nil
}

// systemdWords are the commands and flags of systemctl, journalctl and systemd-analyze that
// a page may name. They are listed because a machine without systemd runs the test too.
var systemdWords = strings.Fields("disable edit enable kill reload restart security show start status stop --now -f -u")

// systemd checks the words of those three, and the unit.
func (c *checker) systemd(_ string, words []string) error {
	for _, word := range words {
		switch {
		case word == "icomet", word == "icomet.service":
		case word == "reload" && !strings.Contains(c.unit, "\nExecReload="):
			return errors.New("the unit cannot be reloaded")
		case !slices.Contains(systemdWords, word):
			return fmt.Errorf("%s is neither icomet's unit nor a word of systemd", word)
		}
	}
	return nil
}

// runs makes a check that runs a tool that only prints, where it is installed. Alone it is
// only named.
func (c *checker) runs(tool string) func(string, []string) error {
	return func(_ string, words []string) error {
		line := strings.Join(append([]string{tool}, words...), " ")
		if exec.CommandContext(c.t.Context(), "bash", "-c", "type "+tool).Run() != nil || len(words) == 0 {
			return nil
		}
		if out, err := exec.CommandContext(c.t.Context(), "bash", "-c", line).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return nil
	}
}

// kernelSetting checks it against the running kernel, or, where a container hides it, against
// the settings that the virtual machine of bench/million sets.
func (c *checker) kernelSetting(name string) error {
	if _, err := os.Stat("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); err != nil && !strings.Contains(c.sysctls, name+" = ") {
		return err
	}
	return nil
}

// goTool checks the command of go, its flags, and the packages and tests that it names.
func (c *checker) goTool(_ string, words []string) error {
	if len(words) == 0 {
		return nil
	}
	text := ""
	for _, topic := range []string{words[0], "build", "testflag"} {
		out, err := exec.CommandContext(c.t.Context(), "go", "help", topic).CombinedOutput()
		if err != nil {
			return fmt.Errorf("go help %s: %s", topic, out)
		}
		text += string(out)
		if words[0] == "doc" {
			break // it has none of the flags of a build
		}
	}
	tests := ""
	for _, word := range words[1:] {
		if dir, ok := strings.CutPrefix(strings.TrimSuffix(word, "/..."), "./"); ok && dir != "PACKAGE" {
			sources, _ := filepath.Glob(filepath.Join("..", dir, "*.go"))
			if len(sources) == 0 {
				return fmt.Errorf("there is no package %s", word)
			}
			for _, name := range sources {
				tests += read(c.t, name)
			}
		}
	}
	for _, word := range words[1:] {
		switch {
		case testName.MatchString(word) && !strings.Contains(tests, "func "+word):
			return fmt.Errorf("there is no %s", word)
		case strings.HasPrefix(word, "-") && !regexp.MustCompile(`(?m)^\s+`+word+`\b|\[`+word+`\b`).MatchString(text) && !strings.Contains(tests, `("`+word[1:]+`"`):
			return fmt.Errorf("go %s has no flag %s", words[0], word)
		}
	}
	return nil
}
