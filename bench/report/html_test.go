//go:build linux

package report

import (
	"html"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"icomet/bench/scenario"
)

var (
	formOf  = regexp.MustCompile(`(?s)<div class="((?:light|dark) (?:wide|narrow))">(<svg.*?</svg>)</div>`)
	sizeOf  = regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`)
	labelOf = regexp.MustCompile(`(?s)<text x="(-?\d+)" y="(-?\d+)"[^>]*>(.*?)</text>`)
)

// TestHTML: in each form of each chart the labels have room beside each other and inside,
// the percentiles are the usual ones, and the page says which server it was.
func TestHTML(t *testing.T) {
	h := hdrhistogram.New(1, 1e12, 3)
	for i := range int64(10_000) {
		_ = h.RecordValue(i * 1e5)
	}
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	r := &Result{Scenario: scenario.Scenario{Name: "fan-out"}, Server: "icomet-server", Version: "9.8.7", Time: time.Now(), LatencyHistogram: encoded, AnswerHistogram: encoded}
	for i := range int64(600) {
		r.Series = append(r.Series, Sample{Second: float64(i) * 0.2003, Deliveries: i * i, Answered: i, RSS: 1 << 30})
	}
	var b strings.Builder
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("REPORT_HTML"); path != "" { // for a person to look at
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []string{"Server version 9.8.7", `name="viewport"`, "prefers-color-scheme:dark"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("the page has no %q", part)
		}
	}
	forms := formOf.FindAllStringSubmatch(b.String(), -1)
	if len(forms) != 12 {
		t.Fatalf("%d forms of charts, want 12", len(forms))
	}
	for i, form := range forms {
		rows, texts := map[int][][2]int{}, []string{}
		size := sizeOf.FindStringSubmatch(form[2])
		width, _ := strconv.Atoi(size[1])
		for _, m := range labelOf.FindAllStringSubmatch(form[2], -1) {
			x, _ := strconv.Atoi(m[1])
			y, _ := strconv.Atoi(m[2])
			text := html.UnescapeString(m[3])
			texts = append(texts, text)
			rows[y] = append(rows[y], [2]int{x, x + 8*len([]rune(text))}) // about 8 px for each character
		}
		for _, row := range rows {
			slices.SortFunc(row, func(a, b [2]int) int { return a[0] - b[0] })
			for k, span := range row {
				if span[0] < 0 || span[1] > width+8 || k > 0 && span[0] < row[k-1][1] {
					t.Errorf("chart %d, %s: labels touch or leave it: %v of %d px, %q", i/4, form[1], row, width, texts)
					break
				}
			}
		}
		if i < 4 {
			for _, p := range []string{"50%", "90%", "99%", "99.9%"} {
				if !slices.Contains(texts, p) {
					t.Errorf("%s: no label %s in %q", form[1], p, texts)
				}
			}
		}
	}
}
