package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Error is a mistake in the configuration.
type Error struct {
	File   string // as it was given, or "environment"
	Line   int    // from 1; 0 when the mistake has no line
	Key    string // dotted, or the variable's name; "" when it concerns the whole file
	Value  string // as in the file, strings quoted; "" when there is none to show
	Reason string // never empty
}

// Error is one line, like
//
//	config.toml:12: front.channel_buffer_size = 0: must be 1 to 100000
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key)
		if e.Value != "" {
			b.WriteString(" = " + e.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}

// maxShown bounds the bytes of a value in a message.
const maxShown = 80

// showValue gives a value as it is written in TOML, short and on one line.
func showValue(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(shorten(v))
	case []any:
		return "[…]"
	case map[string]any:
		return "{…}"
	case time.Time:
		return v.Format(time.RFC3339)
	default:
		return shorten(fmt.Sprint(v))
	}
}

func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// didYouMean is the hint towards the nearest name; "" when none is near.
func didYouMean(nearest string) string {
	if nearest == "" {
		return ""
	}
	return ", did you mean " + nearest + "?"
}

// nearestName finds what was probably meant, or "".
func nearestName(name string, names []string) string {
	best, least := "", max(2, len(name)/4)+1
	for _, candidate := range names {
		// A key under the wrong section is as near as can be.
		d := editDistance(name, candidate)
		if d > 1 && lastPart(name) == lastPart(candidate) {
			d = 1
		}
		if d < least {
			best, least = candidate, d
		}
	}
	return best
}

func lastPart(key string) string {
	return key[strings.LastIndexByte(key, '.')+1:]
}

// editDistance is the number of bytes to insert, delete or replace. Names far
// longer than any key are not worth comparing.
func editDistance(a, b string) int {
	if len(a) > 2*maxShown {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
