//go:build linux

package report

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Comparison has the results of several servers on one scenario. The first server is the one
// that the others are compared with.
type Comparison struct {
	Title   string
	Servers []string
	Results [][]*Result // by server and round
}

// Compare runs a scenario on each server in turn, rounds times: A B A B, so that a change of
// the machine's speed meets all of them. run makes one result, with a fresh server. At the
// first error of run Compare returns it, together with the results so far.
func Compare(ctx context.Context, title string, servers []string, rounds int, run func(ctx context.Context, server string) (*Result, error)) (*Comparison, error) {
	c := &Comparison{Title: title, Servers: servers, Results: make([][]*Result, len(servers))}
	for range rounds {
		for i, s := range servers {
			r, err := run(ctx, s)
			if err != nil {
				return c, fmt.Errorf("%s: %w", s, err)
			}
			c.Results[i] = append(c.Results[i], r)
		}
	}
	return c, nil
}

// Failures returns the sum of all rounds' failures.
func (c *Comparison) Failures() (n int64) {
	for _, list := range c.Results {
		for _, r := range list {
			n += r.Failures
		}
	}
	return n
}

// row is one figure: the median of each server's rounds.
type row struct {
	name, unit string
	values     [][]float64 // by server, then by round
	medians    []float64   // by server
	has        []bool      // whether the server has the figure
}

// rows lists all figures that any result has, in their order there.
func (c *Comparison) rows() []row {
	var rows []row
	index := map[string]int{}
	for i, list := range c.Results {
		for _, r := range list {
			for _, m := range r.metrics() {
				if _, known := index[m.Name]; !known {
					index[m.Name] = len(rows)
					rows = append(rows, row{name: m.Name, unit: m.Unit, values: make([][]float64, len(c.Servers))})
				}
				values := rows[index[m.Name]].values
				values[i] = append(values[i], m.Value)
			}
		}
	}
	for n := range rows {
		for _, v := range rows[n].values {
			rows[n].medians = append(rows[n].medians, Median(v))
			rows[n].has = append(rows[n].has, len(v) > 0)
		}
	}
	return rows
}

// Median returns the middle of the values, the mean of the middle two when their number is
// even, and 0 when there is none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// span is how far the ratios of single rounds go, "0.97…1.04": what a ratio of medians is
// worth. It is "" where a server has not a figure of each round.
func (r row) span(i int) string {
	var ratios []float64
	for n, v := range r.values[0] {
		if v != 0 && len(r.values[i]) == len(r.values[0]) {
			ratios = append(ratios, r.values[i][n]/v)
		}
	}
	if len(ratios) < 2 {
		return ""
	}
	return fmt.Sprintf("%.2f…%.2f", slices.Min(ratios), slices.Max(ratios))
}

// ratio returns server i's median divided by the first server's; ok is false without one.
func (r row) ratio(i int) (ratio float64, ok bool) {
	if !r.has[0] || !r.has[i] || r.medians[0] == 0 {
		return 0, false
	}
	return r.medians[i] / r.medians[0], true
}

// WriteTable writes medians, their ratios, and the span of the rounds' ratios as text, and a
// line for each round with failures. The error is w's.
func (c *Comparison) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s: medians of %d rounds\t", c.Title, len(c.Results[0]))
	for i, s := range c.Servers {
		fmt.Fprintf(t, "%s\t", label(s))
		if i > 0 {
			fmt.Fprintf(t, "ratio\trounds\t")
		}
	}
	fmt.Fprintln(t)
	for _, row := range c.rows() {
		fmt.Fprintf(t, "%s, %s\t", row.name, row.unit)
		for i := range c.Servers {
			fmt.Fprintf(t, "%s\t", row.cell(i))
			if i > 0 {
				fmt.Fprintf(t, "%s\t%s\t", row.ratioCell(i), row.span(i))
			}
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i, list := range c.Results {
		for n, r := range list {
			if r.Failures > 0 {
				fmt.Fprintf(w, "%s, round %d: %s\n", label(c.Servers[i]), n+1, r.Verdict())
			}
		}
	}
	return nil
}

// Markdown writes the figures with the given names as lines of a table: title, figure, every
// server's median, then the ratios. A name that ends with " per" also stands for what
// follows it.
func (c *Comparison) Markdown(w io.Writer, names ...string) {
	for _, row := range c.rows() {
		if !slices.ContainsFunc(names, func(n string) bool {
			return row.name == n || strings.HasSuffix(n, " per") && strings.HasPrefix(row.name, n)
		}) {
			continue
		}
		figure := row.name
		if row.unit != "" {
			figure += ", " + row.unit
		}
		fmt.Fprintf(w, "| %s | %s |", c.Title, figure)
		for i := range c.Servers {
			fmt.Fprintf(w, " %s |", row.cell(i))
		}
		for i := 1; i < len(c.Servers); i++ {
			fmt.Fprintf(w, " %s |", row.ratioCell(i))
		}
		fmt.Fprintln(w)
	}
}

func (r row) cell(i int) string {
	if !r.has[i] {
		return "-"
	}
	return Number(r.medians[i])
}

func (r row) ratioCell(i int) string {
	ratio, ok := r.ratio(i)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

// CutFlags takes apart "SERVER -- FLAGS": the server, and what its runs get besides the flags
// of all.
func CutFlags(server string) (command string, flags []string) {
	command, own, _ := strings.Cut(server, " -- ")
	return command, strings.Fields(own)
}

// label is a server's name in a table: the program of a command line, and its own flags.
func label(server string) string {
	command, flags := CutFlags(server)
	program, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	return strings.Join(append([]string{program[strings.LastIndexByte(program, '/')+1:]}, flags...), " ")
}
