package wsframe

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the results in testdata; check the diff")

// testCase is one case of a file in testdata:
//
//	# why it is here
//	rules: LIMIT, or: rules: LIMIT deflate      (optional)
//	the bytes: line ends of the file are ignored; \r \n \\ and \xNN are bytes, \m is a mask
//	of zeros, and a line "repeat N X" is N times the byte X
//	----------
//	the result
//
// Empty lines separate the cases.
type testCase struct{ prose, rulesLine, input, want string }

const divider = "----------\n"

func readCases(t testing.TB, path string) (cases []testCase) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		input, want, ok := strings.Cut(part+"\n", divider)
		if !ok || !strings.HasPrefix(part, "# ") {
			t.Fatalf("%s: not a case:\n%s", path, part)
		}
		c := testCase{want: want}
		c.prose, c.input, _ = strings.Cut(input, "\n")
		if strings.HasPrefix(c.input, "rules: ") {
			c.rulesLine, c.input, _ = strings.Cut(c.input, "\n")
		}
		cases = append(cases, c)
	}
	return cases
}

var testRules = Rules{Limit: 1000}

func (c *testCase) rules(t testing.TB) Rules {
	t.Helper()
	if c.rulesLine == "" {
		return testRules
	}
	line, deflate := strings.CutSuffix(strings.TrimPrefix(c.rulesLine, "rules: "), " deflate")
	limit, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return Rules{Limit: limit, Deflate: deflate}
}

func (c *testCase) bytes(t testing.TB) []byte {
	t.Helper()
	var b []byte
	for _, line := range strings.Split(c.input, "\n") {
		var n int
		var x byte
		if _, err := fmt.Sscanf(line, "repeat %d %c", &n, &x); err == nil {
			b = append(b, bytes.Repeat([]byte{x}, n)...)
			continue
		}
		for i := 0; i < len(line); i++ {
			if line[i] != '\\' {
				b = append(b, line[i])
				continue
			}
			i++
			switch line[i] {
			case 'r':
				b = append(b, '\r')
			case 'n':
				b = append(b, '\n')
			case '\\':
				b = append(b, '\\')
			case 'm':
				b = append(b, 0, 0, 0, 0)
			case 'x':
				v, err := strconv.ParseUint(line[i+1:i+3], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				b = append(b, byte(v))
				i += 2
			default:
				t.Fatalf("unknown escape \\%c in %q", line[i], line)
			}
		}
	}
	return exact(b)
}

// exact copies b into a slice without spare capacity, so that reading one byte too far
// panics. It is a copy because Next changes its input.
func exact(b []byte) []byte {
	e := make([]byte, len(b))
	copy(e, b)
	return e
}

// runCases runs all cases of the files that match pattern, or rewrites their results.
func runCases(t *testing.T, pattern string, run func(*testing.T, *testCase) string) {
	files, _ := filepath.Glob(pattern)
	if len(files) == 0 {
		t.Fatal("no file is " + pattern)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var out strings.Builder
			for _, c := range readCases(t, path) {
				t.Run(c.prose, func(t *testing.T) {
					got := run(t, &c)
					if got != c.want && !*update {
						t.Errorf("%s\n%sgot:\n%swant:\n%s", c.prose, c.input, got, c.want)
					}
					if c.rulesLine != "" {
						c.prose += "\n" + c.rulesLine
					}
					fmt.Fprintf(&out, "%s\n%s%s%s\n", c.prose, c.input, divider, got)
				})
			}
			if *update {
				if err := os.WriteFile(path, []byte(strings.TrimSpace(out.String())+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
