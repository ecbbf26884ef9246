package httpparse

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the dumps of testdata/requests; check the diff")

var testLimits = Limits{RequestLine: 8 << 10, Header: 16 << 10, Fields: 100, Body: 1 << 20}

// goldenCase is one case of a file below testdata/requests:
//
//	# why it is here
//	limits: request line, header, fields, body      (optional)
//	the request: line ends of the file are ignored, \r \n \t \\ and \xNN are bytes
//	----------
//	the dump of Parse's result
//
// Empty lines separate the cases.
type goldenCase struct {
	prose, request, want string
	limitsLine           string
}

const divider = "----------\n"

func readGolden(t *testing.T, path string) (cases []goldenCase) {
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
		c := goldenCase{want: want}
		c.prose, c.request, _ = strings.Cut(input, "\n")
		if strings.HasPrefix(c.request, "limits: ") {
			c.limitsLine, c.request, _ = strings.Cut(c.request, "\n")
		}
		cases = append(cases, c)
	}
	return cases
}

func (c *goldenCase) limits(t *testing.T) *Limits {
	t.Helper()
	lim := testLimits
	if c.limitsLine != "" {
		if _, err := fmt.Sscanf(c.limitsLine, "limits: %d %d %d %d", &lim.RequestLine, &lim.Header, &lim.Fields, &lim.Body); err != nil {
			t.Fatal(err)
		}
	}
	return &lim
}

// bytes decodes the notation. The slice has no spare capacity.
func (c *goldenCase) bytes(t *testing.T) []byte {
	t.Helper()
	s := strings.ReplaceAll(c.request, "\n", "")
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'r':
			b = append(b, '\r')
		case 'n':
			b = append(b, '\n')
		case 't':
			b = append(b, '\t')
		case '\\':
			b = append(b, '\\')
		case 'x':
			b = append(b, hexDigit[s[i+1]]<<4|hexDigit[s[i+2]])
			i += 2
		default:
			t.Fatalf("unknown escape \\%c in %q", s[i], s)
		}
	}
	return exact(b)
}

// exact copies b into a slice without spare capacity, so that reading one byte
// too far panics.
func exact(b []byte) []byte {
	e := make([]byte, len(b))
	copy(e, b)
	return e
}

// dump writes a result in full.
func dump(r *Request, err error) string {
	var refused *Error
	if errors.As(err, &refused) {
		return fmt.Sprintf("%d %s\n", refused.Status, refused)
	}
	if err != nil {
		return err.Error() + "\n"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s %q", r.Method, r.Path)
	if r.Query != nil {
		fmt.Fprintf(&s, " ? %q", r.Query)
	}
	if r.Authority != nil {
		fmt.Fprintf(&s, " at %q", r.Authority)
	}
	fmt.Fprintf(&s, " HTTP/1.%d head=%d", r.Minor, r.HeadLen)
	if r.Chunked {
		s.WriteString(" chunked")
	} else {
		fmt.Fprintf(&s, " length=%d", r.ContentLength)
	}
	if r.KeepAlive {
		s.WriteString(" keep-alive")
	}
	if r.ExpectContinue {
		s.WriteString(" expect-continue")
	}
	s.WriteByte('\n')
	for _, f := range r.Fields {
		fmt.Fprintf(&s, "%s: %q\n", f.Name, f.Value)
	}
	return s.String()
}

// checkCuts checks that the result depends only on the bytes, not on how they arrive in
// pieces. It returns the dump of the whole.
func checkCuts(t *testing.T, b []byte, lim *Limits) string {
	t.Helper()
	var whole Request
	wholeErr := Parse(&whole, b, 0, lim)
	want := dump(&whole, wholeErr)
	headLen := len(b) + 1
	if wholeErr == nil {
		headLen = whole.HeadLen
	}
	// While the head has not ended, a call with seen > 0 may find an error later than a
	// call with seen 0.
	ended := bytes.Contains(b, []byte("\n\r\n")) || bytes.Contains(b, []byte("\n\n"))
	same := func(got string) bool {
		return got == want || got == dump(nil, ErrIncomplete) && !ended
	}
	var r Request
	for cut := range min(headLen, len(b)) {
		err := Parse(&r, exact(b[:cut]), 0, lim)
		switch {
		case err == nil:
			t.Fatalf("cut at %d: a whole head, but it is %d long", cut, headLen)
		case err != ErrIncomplete && err != wholeErr:
			t.Fatalf("cut at %d: %v, but the whole gives %s", cut, err, want)
		case err == ErrIncomplete:
			if got := dump(&r, Parse(&r, b, cut, lim)); !same(got) {
				t.Fatalf("the rest after %d:\n%swant:\n%s", cut, got, want)
			}
		}
	}
	if got := dribble(b, lim); !same(got) {
		t.Fatalf("byte by byte:\n%swant:\n%s", got, want)
	}
	return want
}

func dribble(b []byte, lim *Limits) string {
	var r Request
	for n := range len(b) {
		if err := Parse(&r, exact(b[:n+1]), n, lim); err != ErrIncomplete {
			return dump(&r, err)
		}
	}
	return dump(&r, ErrIncomplete)
}

func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/requests/*.txt")
	if len(files) < 5 {
		t.Fatalf("only %d files in testdata/requests", len(files))
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var out strings.Builder
			for _, c := range readGolden(t, path) {
				t.Run(c.prose, func(t *testing.T) {
					got := checkCuts(t, c.bytes(t), c.limits(t))
					if got != c.want && !*update {
						t.Errorf("%s\n%sgot:\n%swant:\n%s", c.prose, c.request, got, c.want)
					}
					fmt.Fprintln(&out, strings.TrimSpace(strings.Join(slices.DeleteFunc([]string{c.prose, c.limitsLine, c.request}, isEmpty), "\n"))+"\n"+divider+got)
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

func isEmpty(s string) bool { return s == "" }
