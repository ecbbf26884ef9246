package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestRedisMetrics: what the dashboard and the alert rules ask of the Redis engine is in
// /metrics, from the start, and every error that Redis may give is there with 0.
func TestRedisMetrics(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, patient)
	_, text := c.nodes[0].call(t, "/metrics")
	for _, file := range []string{"../../docs/alerts.yml", "../../docs/grafana/icomet.json"} {
		asked, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`icomet_redis_[a-z_]+`).FindAllString(string(asked), -1)
		if len(found) < 5 {
			t.Errorf("%s asks for %q only", file, found)
		}
		for _, name := range found {
			if !strings.Contains(text, "\n"+name+" ") && !strings.Contains(text, "\n"+name+"{") {
				t.Errorf("%s asks for %s, which is not in /metrics", file, name)
			}
		}
	}
	for _, line := range []string{
		"icomet_redis_up 1", "icomet_redis_nodes 1", `icomet_redis_errors_total{reason="READONLY"} 0`,
		`icomet_redis_errors_total{reason="OOM"} 0`, `icomet_redis_errors_total{reason="no_answer"} 0`,
		`icomet_redis_refreshes_total{reason="gap"} 0`, `icomet_redis_queued{queue="calls"} 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%q is not in /metrics", line)
		}
	}
	c.nodes[0].want(t, "/push?cname=a&content=x", `"ok"`)
	c.nodes[0].becomes(t, "/metrics", `icomet_redis_round_trip_seconds_count{connection="calls"} 1`)
}
