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

// Comparison holds the results of several servers on one scenario, by server
// and round. The first server is what the others are compared with.
type Comparison struct {
	Title   string
	Servers []string
	Results [][]*Result
}

// Compare runs a scenario on each server in turn, rounds times: A B A B, so
// that a machine which changes its speed does so to all of them. run makes one
// result, with a fresh server.
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

// Failures adds up those of all rounds.
func (c *Comparison) Failures() (n int64) {
	for _, list := range c.Results {
		for _, r := range list {
			n += r.Failures
		}
	}
	return n
}

// Row is one figure: the median of each server's rounds.
type Row struct {
	Name, Unit string
	Medians    []float64 // by server
	Has        []bool    // whether the server has the figure
}

// Rows lists all figures that any result has, in their order there.
func (c *Comparison) Rows() []Row {
	var rows []Row
	index := map[string]int{}
	values := map[string][][]float64{}
	for i, list := range c.Results {
		for _, r := range list {
			for _, m := range r.Metrics() {
				if _, known := index[m.Name]; !known {
					index[m.Name] = len(rows)
					rows = append(rows, Row{Name: m.Name, Unit: m.Unit})
					values[m.Name] = make([][]float64, len(c.Servers))
				}
				values[m.Name][i] = append(values[m.Name][i], m.Value)
			}
		}
	}
	for n := range rows {
		for _, v := range values[rows[n].Name] {
			rows[n].Medians = append(rows[n].Medians, Median(v))
			rows[n].Has = append(rows[n].Has, len(v) > 0)
		}
	}
	return rows
}

func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Ratio is server i's median by the first server's; ok is false when there is none.
func (r Row) Ratio(i int) (ratio float64, ok bool) {
	if !r.Has[0] || !r.Has[i] || r.Medians[0] == 0 {
		return 0, false
	}
	return r.Medians[i] / r.Medians[0], true
}

// WriteTable writes medians and ratios for people.
func (c *Comparison) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s: medians of %d rounds\t", c.Title, len(c.Results[0]))
	for i, s := range c.Servers {
		fmt.Fprintf(t, "%s\t", label(s))
		if i > 0 {
			fmt.Fprintf(t, "ratio\t")
		}
	}
	fmt.Fprintln(t)
	for _, row := range c.Rows() {
		fmt.Fprintf(t, "%s, %s\t", row.Name, row.Unit)
		for i := range c.Servers {
			fmt.Fprintf(t, "%s\t", row.cell(i))
			if i > 0 {
				fmt.Fprintf(t, "%s\t", row.ratioCell(i))
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

// Markdown writes the rows with the given names (one that ends with "per" stands
// for whatever follows), one line of a table each: title, figure, every
// server's median, then the ratios.
func (c *Comparison) Markdown(w io.Writer, names ...string) {
	for _, row := range c.Rows() {
		if !slices.ContainsFunc(names, func(n string) bool {
			return row.Name == n || strings.HasSuffix(n, " per") && strings.HasPrefix(row.Name, n)
		}) {
			continue
		}
		figure := row.Name
		if row.Unit != "" {
			figure += ", " + row.Unit
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

func (r Row) cell(i int) string {
	if !r.Has[i] {
		return "-"
	}
	return Number(r.Medians[i])
}

func (r Row) ratioCell(i int) string {
	ratio, ok := r.Ratio(i)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

// label is a server's name in a table: the program of a command line.
func label(command string) string {
	program, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	return program[strings.LastIndexByte(program, '/')+1:]
}
