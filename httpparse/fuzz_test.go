package httpparse

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

var fuzzBodyLimits = Limits{Header: 100, Body: 200}

// FuzzChunked compares ChunkDecoder with the body reader of net/http, and with itself on
// the same input in other pieces.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"5\r\nhello\r\n0\r\n\r\nGET", "5;a=\"b\"\r\nhello\r\nA\r\n0123456789\r\n0;x\r\nExpires: 0\r\nX: y\r\n\r\n", "0x5\r\n", "5 \r\n", "5\nhello\n0\n\n",
		"ffffffffffffffff\r\n", "0000000000000000\r\n\r\n", "1;\x00\r\na\r\n0\r\n\r\n", "0\r\n:\r\n\r\n", "0\r\na: b\r\n c\r\n\r\n",
	} {
		f.Add(s, []byte{1})
		f.Add(s, []byte{3, 1, 7})
	}
	f.Fuzz(func(t *testing.T, body string, cuts []byte) {
		if len(body) > 2<<10 {
			return
		}
		sizes := []int{}
		for _, c := range cuts {
			sizes = append(sizes, int(c)+1)
		}
		var d ChunkDecoder
		d.Reset(&fuzzBodyLimits)
		data, rest, err := decode(&d, body, max(len(body), 1))
		for _, sizes := range [][]int{{1}, append(sizes, 2)} {
			d.Reset(&fuzzBodyLimits)
			cutData, cutRest, cutErr := decode(&d, body, sizes...)
			if cutData != data || cutRest != rest || cutErr != err {
				t.Fatalf("%q in pieces of %v: %q, %q, %v\nin one: %q, %q, %v", body, sizes, cutData, cutRest, cutErr, data, rest, err)
			}
		}
		stdData, stdRest, stdErr := netHTTPBody(t, body)
		switch {
		case err == nil && (stdErr != nil || stdData != data || stdRest != rest):
			t.Fatalf("%q: %q, %q; net/http: %q, %q, %v", body, data, rest, stdData, stdRest, stdErr)
		case err == ErrIncomplete && stdErr == nil:
			t.Fatalf("%q: incomplete, but net/http is content", body)
		case err != nil && stdErr == nil && !stricterChunk(err, body):
			t.Fatalf("%q: refused without a listed reason: %v", body, err)
		case err != nil && stdErr == nil && !strings.HasPrefix(stdData, data):
			t.Fatalf("%q: %q before the refusal; net/http: %q", body, data, stdData)
		}
	})
}

func netHTTPBody(t *testing.T, body string) (data, rest string, err error) {
	t.Helper()
	br := bufio.NewReader(strings.NewReader("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
	r, err := http.ReadRequest(br)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return string(b), "", err
	}
	left, _ := io.ReadAll(br)
	return string(b), string(left), nil
}

// stricterChunk reports whether err is a refusal that only ChunkDecoder has, and the body
// has what it is about.
func stricterChunk(err error, body string) bool {
	switch err {
	case ErrBodyTooLarge:
		return len(body) > int(fuzzBodyLimits.Body)
	case ErrChunkMetaTooLarge:
		return len(body) > fuzzBodyLimits.Header
	case ErrChunkSize: // white space round the size, no digit before an extension
		return strings.ContainsAny(body, " \t;")
	case ErrChunkExtension: // net/http does not read extensions
		return strings.Contains(body, ";")
	case ErrTrailer, ErrChunkEnd: // folded lines, bare LF and other things that net/textproto accepts
		return strings.Contains(body, "0\r\n") || strings.Contains(body, ";")
	}
	return false
}

// FuzzQuery compares NextPair and AppendUnescaped with url.ParseQuery.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "a=b&c=d", "&&a&=b&=&a==", "a+b=%20%2B&%61=%ff", "a=%", "a=%zz&b", "a=%00", "cname=0123456789abcdef&seq=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, q string) {
		if strings.Contains(q, ";") {
			return // an error in net/url; an ordinary byte here and in the original server
		}
		ours := url.Values{}
		var firstErr error
		for rest := exact([]byte(q)); firstErr == nil; {
			name, value, next, ok := NextPair(rest)
			if !ok {
				break
			}
			n, err := unescapePart(t, name)
			v, err2 := unescapePart(t, value)
			if firstErr = err; err == nil {
				firstErr = err2
			}
			ours.Add(n, v)
			rest = next
		}
		std, stdErr := url.ParseQuery(q)
		switch {
		case firstErr == ErrNUL:
			if !strings.Contains(q, "\x00") && !strings.Contains(q, "%00") {
				t.Errorf("%q: no NUL in it", q)
			}
		case (firstErr == nil) != (stdErr == nil):
			t.Errorf("%q: %v; net/url: %v", q, firstErr, stdErr)
		case firstErr == nil && !reflect.DeepEqual(ours, std):
			t.Errorf("%q: %q; net/url: %q", q, ours, std)
		}
	})
}

func unescapePart(t *testing.T, s []byte) (string, error) {
	t.Helper()
	out, err := AppendUnescaped(nil, s)
	if Plain(s) && (err != nil || !bytes.Equal(out, s)) {
		t.Errorf("%q is plain, but %q, %v", s, out, err)
	}
	return string(out), err
}

// FuzzJSON compares JSONMembers with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":"b","c":-1.5e+3}`, ` { "a" : 0 , "b" : "\u63a8\ud83d\ude00\ud83d\n" } `, `{"a":true}`, `{"a":[{}]}`, `{"a":1,}`, `{"a":01}`, `[1]`, `{"a":"\u0000"}`, "{\"\xff\":\"\xc3\"}",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, room uint8) {
		got, err := members(exact(b), make([]byte, 0, room))
		want, ok := stdMembers(b)
		switch {
		case (err == nil) != ok:
			t.Errorf("%q: %v; encoding/json: %v", b, err, ok)
		case ok && string([]rune(got)) != want: // encoding/json replaces what is not UTF-8
			t.Errorf("%q: %q; encoding/json: %q", b, got, want)
		}
	})
}

// stdMembers is members by means of encoding/json; ok is false unless b is a flat object
// of strings and numbers without NUL.
func stdMembers(b []byte) (all string, ok bool) {
	if !json.Valid(b) {
		return "", false
	}
	var s strings.Builder
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if first, _ := d.Token(); first != json.Delim('{') {
		return "", false
	}
	for d.More() {
		name, _ := d.Token()
		value, _ := d.Token()
		var text string
		switch v := value.(type) {
		case string:
			text = v
		case json.Number:
			text = v.String()
		default:
			return "", false
		}
		s.WriteString("[" + name.(string) + "|" + text + "]")
	}
	return s.String(), !strings.Contains(s.String(), "\x00")
}

// FuzzJSONString compares ValidJSONString with encoding/json.
func FuzzJSONString(f *testing.F) {
	for _, s := range []string{"", "plain", `\u63a8\ud83d`, `a"`, `\`, `\x`, "\xff", "推送", "\x1f", `","`, `0123456\"01234567`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := utf8.Valid(b) && json.Valid(slices.Concat([]byte{'"'}, b, []byte{'"'}))
		if got := ValidJSONString(exact(b)); got != want {
			t.Errorf("%q: %v; encoding/json: %v", b, got, want)
		}
	})
}

func FuzzParseInt(f *testing.F) {
	for _, s := range []string{"", "0", "-1", "+1", "9223372036854775807", "-9223372036854775808", "9223372036854775808"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParseInt([]byte(s))
		want, err := strconv.ParseInt(s, 10, 64)
		if strings.HasPrefix(s, "+") {
			err = strconv.ErrSyntax
		}
		if ok != (err == nil) || ok && got != want {
			t.Errorf("%q: %d, %v; strconv: %d, %v", s, got, ok, want, err)
		}
	})
}
