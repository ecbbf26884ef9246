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

// page is the report. The charts are SVG inside of it, so that it loads nothing.
var page = template.Must(template.New("report").Funcs(template.FuncMap{"number": Number}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.R.Scenario.Name}} on {{.R.Server}}</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td{padding:.2em 1em .2em 0;border-bottom:1px solid #ddd}td.n{text-align:right}
.bad{color:#b00;font-weight:bold}svg{max-width:100%;height:auto}
</style></head><body>
<h1>{{.R.Scenario.Name}} on {{.R.Server}}</h1>
<p>{{.R.Time.Format "2006-01-02 15:04:05 MST"}} · {{.R.Machine.CPUs}} CPUs ({{.R.Machine.Model}}), Linux {{.R.Machine.Kernel}}, {{.R.Machine.Go}}</p>
<ul>{{range .Groups}}<li>{{.}}</li>{{end}}</ul>
<p{{if .R.Failures}} class="bad"{{end}}>{{.Verdict}}</p>
{{range .Charts}}<figure>{{.}}</figure>
{{end}}<table>{{range .Metrics}}<tr><td>{{.Name}}</td><td class="n">{{number .Value}}</td><td>{{.Unit}}</td></tr>{{end}}</table>
</body></html>
`))

// WriteHTML writes a result as a page with plots that loads nothing from anywhere. The error
// is w's, or that of a chart.
func (r *Result) WriteHTML(w io.Writer) error {
	var svgs []template.HTML
	for _, draw := range []func() ([]byte, error){r.latencyChart, r.rateChart, r.memoryChart} {
		svg, err := draw()
		if err != nil {
			return fmt.Errorf("chart: %w", err)
		}
		if svg != nil {
			svgs = append(svgs, template.HTML(svg)) //nolint:gosec // made by the chart library, from numbers
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
		Charts  []template.HTML
	}{r, r.metrics(), groups, r.Verdict(), svgs})
}

// latencyChart has the usual axis of latency plots, which leaves most room to the last
// percentiles.
func (r *Result) latencyChart() ([]byte, error) {
	quantiles := []float64{0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100}
	var series [][]float64
	var names, labels []string
	add := func(name string, encoded []byte) error {
		h, err := hdrhistogram.Decode(encoded)
		if err != nil || h.TotalCount() == 0 {
			return err
		}
		var values []float64
		for _, q := range quantiles {
			values = append(values, float64(h.ValueAtQuantile(q))/1e6)
		}
		series, names = append(series, values), append(names, name)
		return nil
	}
	if err := add("publish to delivery", r.LatencyHistogram); err != nil {
		return nil, err
	}
	if err := add("publish to answer", r.AnswerHistogram); err != nil {
		return nil, err
	}
	for _, q := range quantiles {
		labels = append(labels, strconv.FormatFloat(q, 'g', -1, 64)+"%")
	}
	return chart("Latency (ms) by percentile", labels, names, series)
}

func (r *Result) rateChart() ([]byte, error) {
	var deliveries, answers []float64
	var labels []string
	for i := 1; i < len(r.Series); i++ {
		a, b := r.Series[i-1], r.Series[i]
		took := b.Second - a.Second
		deliveries = append(deliveries, float64(b.Deliveries-a.Deliveries)/took)
		answers = append(answers, float64(b.Answered-a.Answered)/took)
		labels = append(labels, strconv.FormatFloat(b.Second, 'f', 1, 64))
	}
	return chart("Throughput (1/s) over time (s)", labels, []string{"deliveries", "publishes"}, [][]float64{deliveries, answers})
}

func (r *Result) memoryChart() ([]byte, error) {
	var rss []float64
	var labels []string
	for _, s := range r.Series {
		rss = append(rss, float64(s.RSS)/(1<<20))
		labels = append(labels, strconv.FormatFloat(s.Second, 'f', 1, 64))
	}
	return chart("Server RSS (MiB) over time (s)", labels, []string{"RSS"}, [][]float64{rss})
}

// chart draws lines; without points there is no chart.
func chart(title string, labels, names []string, series [][]float64) ([]byte, error) {
	if len(series) == 0 || len(series[0]) < 2 {
		return nil, nil
	}
	opt := charts.NewLineChartOptionWithData(series)
	opt.Title.Text = title
	opt.XAxis.Labels = labels
	opt.Legend.SeriesNames = names
	opt.Legend.Offset = charts.OffsetRight
	opt.Symbol.Shape = charts.SymbolNone
	opt.LineStrokeWidth = 1.5
	opt.ValueFormatter = Number
	opt.YAxis = []charts.YAxisOption{{Min: charts.Ptr(0.0)}}
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 860, Height: 320})
	if err := p.LineChart(opt); err != nil {
		return nil, err
	}
	return p.Bytes()
}
