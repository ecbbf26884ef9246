package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"icomet/server/config"
)

// TestAlertsExplained: monitoring.md has a part for each rule of alerts.yml, in their order,
// and no other.
func TestAlertsExplained(t *testing.T) {
	t.Parallel()
	find := func(file, pattern string) (names []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, file), -1) {
			names = append(names, m[1])
		}
		return names
	}
	rules, parts := find("alerts.yml", `(?m)^ *- alert: (\w+)$`), find("monitoring.md", `(?m)^### (\w+)$`)
	if len(rules) < 10 || strings.Join(rules, " ") != strings.Join(parts, " ") {
		t.Errorf("rules %q\nparts %q", rules, parts)
	}
}

// TestIndex: README.md of this folder names each page.
func TestIndex(t *testing.T) {
	t.Parallel()
	index := read(t, "README.md")
	for _, page := range pages(t) {
		if page != "README.md" && filepath.Base(page) == page && !strings.Contains(index, "]("+page+")") {
			t.Errorf("%s is not in the index", page)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks: what the pages link to is there, with the heading behind #.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, part, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if part != "" && !hasHeading(read(t, target), part) {
				t.Errorf("%s links to %s: there is no such heading", page, m[1])
			}
		}
	}
}

// hasHeading looks for a heading by the name that it has in links.
func hasHeading(text, name string) bool {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		if slug == name {
			return true
		}
	}
	return false
}

var (
	keyName    = regexp.MustCompile("`((?:front|admin|limits|engine|runtime|logger)\\.[a-z_.]+)(?: = [^`]*)?`")
	metricName = regexp.MustCompile(`\bicomet_[a-z_]+\b`)
)

// TestNames: the configuration keys and metrics that the pages name exist.
func TestNames(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	cfg := config.Default()
	for _, k := range config.ShowKeys(&cfg) {
		known[k.Key] = true
	}
	rules := read(t, "alerts.yml") + read(t, "grafana/icomet.json") // a test of the server checks these
	for _, page := range pages(t) {
		text := read(t, page)
		for _, m := range keyName.FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				t.Errorf("%s: %s is no key", page, m[1])
			}
		}
		for _, name := range metricName.FindAllString(text, -1) {
			if name != "icomet_cb" && !strings.Contains(rules, name) {
				t.Errorf("%s: %s is no metric of the rules or the Grafana dashboard", page, name)
			}
		}
	}
}

// TestFigures: the figures of capacity.md and million.md are those of the measurements.
func TestFigures(t *testing.T) {
	t.Parallel()
	measured := read(t, "../bench/README.md")
	cell := regexp.MustCompile(`(?m)\| ([0-9][0-9.,]*(?: [^|]+)?) \|$`)
	found := 0
	for _, m := range cell.FindAllStringSubmatch(read(t, "capacity.md"), -1) {
		if found++; !regexp.MustCompile(`(?:^|[^0-9.])` + regexp.QuoteMeta(m[1]) + `(?:[^0-9]|$)`).MatchString(measured) {
			t.Errorf("capacity.md: %s is not in bench/README.md", m[1])
		}
	}
	for _, figure := range []string{"654 B", "636 MiB", "773 MiB"} {
		if !strings.Contains(read(t, "million.md"), figure) || !strings.Contains(measured, figure) {
			t.Errorf("million.md, bench/README.md: %s is not in both", figure)
		}
	}
	if found != 10 {
		t.Errorf("%d figures in capacity.md", found)
	}
}
