package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"icomet/server/config"
	"icomet/server/servertest"
)

var (
	// metricName finds names in an expression; functions and labels are told apart by
	// what stands around them.
	metricName = regexp.MustCompile(`\b(icomet|process|go)_[a-z0-9_]+\b`)
	// labelOf finds the labels that are compared or grouped by.
	labelOf  = regexp.MustCompile(`([a-z_]+)\s*=~?\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on)\s*\(([^)]*)\)`)
	// unmatched finds an aggregate beside a plain metric, which has the label job as well:
	// Prometheus matches them with nothing.
	unmatched = regexp.MustCompile(`^(?:sum|max|min|avg) by .*\) [-+*/] (?:icomet|process|go)_`)
)

// expressions are all of a dashboard, or of the alert rules, that Prometheus is asked.
func expressions(t *testing.T) (found []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/grafana/icomet.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard any
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				if s, ok := inner.(string); ok && (k == "expr" || k == "definition") {
					found = append(found, s)
				} else {
					walk(inner)
				}
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(dashboard)
	n := len(found)
	if text, err = os.ReadFile("../../docs/alerts.yml"); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if expr, ok := strings.CutPrefix(strings.TrimSpace(line), "expr: "); ok {
			found = append(found, expr)
		}
	}
	if n < 25 || len(found)-n < 10 {
		t.Fatalf("%d expressions in the dashboard, %d in the rules", n, len(found)-n)
	}
	return found
}

// TestNamesInDashboardAndRules: every metric, label and reason that they name is there.
func TestNamesInDashboardAndRules(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(cfg *config.Config) { cfg.Front.TLS.Certificates = []string{servertest.Certificate()} })
	s.call("/push?cname=a&content=x")
	text := s.call("/metrics")
	families := s.families()
	labels := map[string]bool{"instance": true, "job": true} // Prometheus's own
	for _, m := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(text, -1) {
		labels[m[1]] = true
	}
	for _, expr := range expressions(t) {
		if strings.Contains(expr, "icomet_redis_") {
			continue // TestRedisMetrics of cmd/icomet-server has them
		}
		if unmatched.MatchString(expr) {
			t.Errorf("the two sides have not the same labels: %s", expr)
		}
		for _, name := range metricName.FindAllString(expr, -1) {
			family := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, suffix); ok && families[base] != "" {
					family = base
				}
			}
			kind := families[family]
			if kind == "" {
				t.Errorf("%s is not in /metrics: %s", name, expr)
			}
			grows := strings.HasSuffix(name, "_total") || family != name
			if grows != strings.Contains(expr, "rate(") && grows != strings.Contains(expr, "increase(") {
				t.Errorf("%s is a %s, used as something else: %s", name, kind, expr)
			}
		}
		for _, m := range labelOf.FindAllStringSubmatch(expr, -1) {
			if !labels[m[1]] {
				t.Errorf("there is no label %s: %s", m[1], expr)
			}
			if m[1] == "reason" && !strings.Contains(text, `reason="`+m[2]+`"`) {
				t.Errorf("there is no reason %s: %s", m[2], expr)
			}
		}
		for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(m[1], ",") {
				if label = strings.TrimSpace(label); !labels[label] {
					t.Errorf("there is no label %s: %s", label, expr)
				}
			}
		}
	}
}
