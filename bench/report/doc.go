// Package report is what a run found out, and its forms: a table, an HTML page with
// plots, and comparisons of several servers (medians, ratios, Markdown).
//
// It must not know how figures are measured: package bench fills a Result, and the
// command writes it. A Result has no lock: one goroutine fills it, then it is only read.
package report
