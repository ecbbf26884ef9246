//go:build linux

package report

import (
	"fmt"
	"html/template"
	"io"
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/go-analyze/charts"
)

// page is the report. The charts are SVG inside of it, so that it loads nothing: each for
// two widths and two colour schemes, of which the style shows one.
var page = template.Must(template.New("report").Funcs(template.FuncMap{"number": Number}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{{.R.Scenario.Name}} on {{.R.Server}}</title>
<style>
:root{--page:#fff;--ink:#222;--edge:#ddd;--bad:#b00}
body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page);overflow-wrap:anywhere}
table{border-collapse:collapse}td{padding:.2em 1em .2em 0;border-bottom:1px solid var(--edge)}td.n{text-align:right}
.bad{color:var(--bad);font-weight:bold}figure{margin:1em 0}svg{display:block;max-width:100%;height:auto}
.dark,.narrow{display:none}
@media (max-width:640px){.wide{display:none}.narrow{display:block}body{margin:1em auto}}
@media (prefers-color-scheme:dark){:root{--page:#12161d;--ink:#e4e8ee;--edge:#333b47;--bad:#ff7b7b}.light{display:none}}
@media (prefers-color-scheme:dark) and (max-width:640px){.dark.narrow{display:block}}
@media (prefers-color-scheme:dark) and (min-width:641px){.dark.wide{display:block}}
@media (prefers-color-scheme:dark){.light.narrow{display:none}}
</style></head><body>
<h1>{{.R.Scenario.Name}} on {{.R.Server}}</h1>
<p>{{with .R.Version}}Server version {{.}} · {{end}}{{.R.Time.Format "2006-01-02 15:04:05 MST"}} · {{.R.Machine.CPUs}} CPUs ({{.R.Machine.Model}}), Linux {{.R.Machine.Kernel}}, {{.R.Machine.Go}}</p>
<ul>{{range .Groups}}<li>{{.}}</li>{{end}}</ul>
<p{{if .R.Failures}} class="bad"{{end}}>{{.Verdict}}</p>
{{range .Charts}}<figure>{{range .}}<div class="{{.Class}}">{{.SVG}}</div>{{end}}</figure>
{{end}}<table>{{range .Metrics}}<tr><td>{{.Name}}</td><td class="n">{{number .Value}}</td><td>{{.Unit}}</td></tr>{{end}}</table>
</body></html>
`))

// drawing is one form of a chart.
type drawing struct {
	Class string
	SVG   template.HTML
}

// WriteHTML writes a result as a page with plots that loads nothing from anywhere. The error
// is w's, or that of a chart.
func (r *Result) WriteHTML(w io.Writer) error {
	var all [][]drawing
	for _, plotted := range []func() (plot, error){r.latencyPlot, r.ratePlot, r.memoryPlot} {
		p, err := plotted()
		if err != nil {
			return fmt.Errorf("chart: %w", err)
		}
		forms, err := p.draw()
		if err != nil {
			return fmt.Errorf("chart: %w", err)
		}
		if forms != nil {
			all = append(all, forms)
		}
	}
	var groups []string
	for _, g := range r.Scenario.Groups {
		groups = append(groups, g.Name+": "+describe(g))
	}
	return page.Execute(w, struct {
		R       *Result
		Metrics []metric
		Groups  []string
		Verdict string
		Charts  [][]drawing
	}{r, r.metrics(), groups, r.Verdict(), all})
}

// plot is what a chart shows: lines over points with labels. times says that the points are
// seconds, of which a few are labelled.
type plot struct {
	title         string
	labels, names []string
	lines         [][]float64
	times         bool
}

// latencyPlot has the usual axis of latency plots, which leaves most room to the last
// percentiles.
func (r *Result) latencyPlot() (plot, error) {
	quantiles := []float64{50, 90, 99, 99.9, 100}
	p := plot{title: "Latency (ms) by percentile", labels: []string{"50%", "90%", "99%", "99.9%", "max"}}
	add := func(name string, encoded []byte) error {
		h, err := hdrhistogram.Decode(encoded)
		if err != nil || h.TotalCount() == 0 {
			return err
		}
		var values []float64
		for _, q := range quantiles {
			values = append(values, float64(h.ValueAtQuantile(q))/1e6)
		}
		p.lines, p.names = append(p.lines, values), append(p.names, name)
		return nil
	}
	if err := add("publish to delivery", r.LatencyHistogram); err != nil {
		return plot{}, err
	}
	return p, add("publish to answer", r.AnswerHistogram)
}

func (r *Result) ratePlot() (plot, error) {
	p := plot{title: "Throughput (1/s) over time (s)", names: []string{"deliveries", "publishes"}, times: true}
	var deliveries, answers []float64
	for i := 1; i < len(r.Series); i++ {
		a, b := r.Series[i-1], r.Series[i]
		took := b.Second - a.Second
		deliveries = append(deliveries, float64(b.Deliveries-a.Deliveries)/took)
		answers = append(answers, float64(b.Answered-a.Answered)/took)
		p.labels = append(p.labels, second(b.Second))
	}
	p.lines = [][]float64{deliveries, answers}
	return p, nil
}

func (r *Result) memoryPlot() (plot, error) {
	p := plot{title: "Server RSS (MiB) over time (s)", names: []string{"RSS"}, times: true}
	var rss []float64
	for _, s := range r.Series {
		rss = append(rss, float64(s.RSS)/(1<<20))
		p.labels = append(p.labels, second(s.Second))
	}
	p.lines = [][]float64{rss}
	return p, nil
}

func second(s float64) string { return strconv.FormatFloat(s, 'f', 1, 64) }

// draw draws all forms; without points there is none.
func (p plot) draw() (forms []drawing, err error) {
	if len(p.lines) == 0 || len(p.lines[0]) < 2 {
		return nil, nil
	}
	for _, form := range []struct {
		class, theme         string
		width, height, times int // px, px, labels of times that fit
	}{
		{"light wide", charts.ThemeLight, 860, 320, 7}, {"light narrow", charts.ThemeLight, 328, 260, 3},
		{"dark wide", charts.ThemeDark, 860, 320, 7}, {"dark narrow", charts.ThemeDark, 328, 260, 3},
	} {
		opt := charts.NewLineChartOptionWithData(p.lines)
		opt.Theme = charts.GetTheme(form.theme)
		if form.theme == charts.ThemeDark {
			opt.Theme = opt.Theme.WithBackgroundColor(charts.ColorFromHex("#12161d"))
		}
		opt.Title.Text = p.title
		opt.Title.FontStyle.FontSize = 11
		opt.XAxis.Labels = p.labels
		opt.XAxis.LabelCount = len(p.labels)
		if p.times {
			opt.XAxis.LabelCount = min(len(p.labels), form.times)
		}
		opt.Legend.SeriesNames = p.names
		opt.Legend.Offset = charts.OffsetRight
		if form.width < 640 { // below the title, for which alone there is room
			opt.Legend.Offset = charts.OffsetStr{Left: charts.PositionLeft, Top: "24"}
		}
		opt.Symbol.Shape = charts.SymbolNone
		opt.LineStrokeWidth = 1.5
		opt.ValueFormatter = Number
		opt.YAxis = []charts.YAxisOption{{Min: charts.Ptr(0.0)}}
		painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: form.width, Height: form.height})
		if err := painter.LineChart(opt); err != nil {
			return nil, err
		}
		svg, err := painter.Bytes()
		if err != nil {
			return nil, err
		}
		forms = append(forms, drawing{form.class, template.HTML(svg)}) //nolint:gosec // made by the chart library, from numbers
	}
	return forms, nil
}
