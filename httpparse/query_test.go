package httpparse

import (
	"math"
	"strings"
	"testing"
)

func pairs(q string) string {
	var s strings.Builder
	for rest := exact([]byte(q)); ; {
		name, value, next, ok := NextPair(rest)
		if !ok {
			return s.String()
		}
		s.WriteString("[" + string(name) + "|" + string(value) + "]")
		rest = next
	}
}

func TestNextPair(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"", ""},
		{"&", ""},
		{"&&&", ""},
		{"a=b", "[a|b]"},
		{"a", "[a|]"},
		{"a=", "[a|]"},
		{"=b", "[|b]"},
		{"=", "[|]"},
		{"a&b", "[a|][b|]"},
		{"&&a=b&&c=d&&", "[a|b][c|d]"},
		{"a==b=&c", "[a|=b=][c|]"},
		{"a=b;c=d", "[a|b;c=d]"},
		{"a=1?2&b=3", "[a|1?2][b|3]"},
		{"long=0123456789abcdef&x=01234567&y=012345678", "[long|0123456789abcdef][x|01234567][y|012345678]"},
		{"a=b&a=c", "[a|b][a|c]"},
		{"%26=%3D", "[%26|%3D]"},
	} {
		if got := pairs(c.query); got != c.want {
			t.Errorf("%q: %s, want %s", c.query, got, c.want)
		}
	}
}

func TestAppendUnescaped(t *testing.T) {
	for _, c := range []struct {
		in, want string
		err      error
	}{
		{"", "", nil},
		{"plain", "plain", nil},
		{"a+b%20c", "a b c", nil},
		{"%2B%2b%25", "++%", nil},
		{"%e6%8E%a8", "推", nil},
		{"%ff", "\xff", nil},
		{"\xff\x01", "\xff\x01", nil},
		{"%", "", ErrEscape},
		{"a%2", "", ErrEscape},
		{"%2g", "", ErrEscape},
		{"%g2", "", ErrEscape},
		{"%%20", "", ErrEscape},
		{"%+1", "", ErrEscape},
		{"a%00", "", ErrNUL},
		{"a\x00", "", ErrNUL},
	} {
		got, err := AppendUnescaped([]byte("kept:"), exact([]byte(c.in)))
		if string(got) != "kept:"+c.want || err != c.err {
			t.Errorf("%q: %q, %v", c.in, got, err)
		}
	}
}

func TestPlain(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for x := range 256 {
				b := []byte(strings.Repeat("a", size))
				b[at] = byte(x)
				if got, want := Plain(exact(b)), x != '%' && x != '+' && x != 0; got != want {
					t.Fatalf("%q: %v", b, got)
				}
			}
		}
	}
	if !Plain(nil) {
		t.Error("nothing is plain")
	}
}

func TestParseInt(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"-0", 0, true}, {"17", 17, true}, {"-1", -1, true}, {"007", 7, true},
		{"9223372036854775807", math.MaxInt64, true}, {"-9223372036854775807", -math.MaxInt64, true},
		{"-9223372036854775808", math.MinInt64, true}, {"-09223372036854775808", math.MinInt64, true},
		{"9223372036854775808", 0, false}, {"9223372036854775809", 0, false}, {"-9223372036854775809", 0, false},
		{"92233720368547758070", 0, false}, {"18446744073709551621", 0, false},
		{"", 0, false}, {"-", 0, false}, {"--1", 0, false}, {"+1", 0, false}, {" 1", 0, false}, {"1 ", 0, false}, {"1.0", 0, false}, {"0x1", 0, false}, {"1e3", 0, false}, {"1_0", 0, false},
	} {
		got, ok := ParseInt([]byte(c.in))
		if got != c.want || ok != c.ok {
			t.Errorf("%q: %d, %v", c.in, got, ok)
		}
	}
}
