package httpparse

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzParse compares Parse with net/http.ReadRequest. What both accept they must read
// alike. Parse may refuse more only for the reasons in stricter, and accept more only for
// those in laxer, none of which affects framing.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/requests/*.txt")
	for _, path := range files {
		for _, c := range goldenSeeds(path) {
			f.Add(c)
		}
	}
	f.Add([]byte(benchRequest))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2<<10 {
			return // checkCuts is quadratic
		}
		checkCuts(t, exact(b), &testLimits)
		var r Request
		err := Parse(&r, exact(b), 0, &testLimits)
		skipped := 0
		if bytes.HasPrefix(b, []byte("\r\n")) { // net/http skips none
			b, skipped = b[2:], 2
		}
		src := bytes.NewReader(b)
		br := bufio.NewReader(src)
		std, stdErr := http.ReadRequest(br)
		switch {
		case err == ErrIncomplete && stdErr == nil:
			t.Fatalf("%q: incomplete, but net/http is content", b)
		case err == nil && stdErr != nil:
			if why := laxer(&r, b); why == "" {
				t.Fatalf("%q: net/http refuses: %v", b, stdErr)
			}
		case err != nil && stdErr == nil:
			if !stricter(err, b, std) {
				t.Fatalf("%q: refused without a listed reason: %v", b, err)
			}
		case err == nil:
			if used := len(b) - src.Len() - br.Buffered(); used+skipped != r.HeadLen {
				t.Errorf("%q: head of %d bytes, net/http: %d", b, r.HeadLen, used)
			}
			compare(t, b, &r, std)
		}
	})
}

func goldenSeeds(path string) (seeds [][]byte) {
	var t testing.T
	for _, c := range readGolden(&t, path) {
		seeds = append(seeds, c.bytes(&t))
	}
	return seeds
}

func compare(t *testing.T, b []byte, r *Request, std *http.Request) {
	t.Helper()
	if method := r.Method.String(); method != std.Method && (r.Method != MethodUnknown || !bytes.HasPrefix(b, []byte(std.Method+" "))) {
		t.Errorf("%q: method %s, net/http: %s", b, method, std.Method)
	}
	if int(r.Minor) != std.ProtoMinor {
		t.Errorf("%q: version 1.%d, net/http: 1.%d", b, r.Minor, std.ProtoMinor)
	}
	if r.Method != CONNECT && r.Path[0] == '/' {
		if path, err := url.PathUnescape(string(r.Path)); err != nil || path != std.URL.Path && "/"+std.URL.Path != path {
			t.Errorf("%q: path %q, net/http: %q", b, r.Path, std.URL.Path)
		}
		if string(r.Query) != std.URL.RawQuery || (r.Query != nil) != (std.URL.ForceQuery || std.URL.RawQuery != "") {
			t.Errorf("%q: query %q, net/http: %q", b, r.Query, std.URL.RawQuery)
		}
	}
	if chunked := slices.Equal(std.TransferEncoding, []string{"chunked"}); r.Chunked != chunked || !chunked && r.ContentLength != std.ContentLength {
		t.Errorf("%q: framing %v %d, net/http: %v %d", b, r.Chunked, r.ContentLength, chunked, std.ContentLength)
	}
	if r.KeepAlive == std.Close {
		t.Errorf("%q: keep-alive %v, net/http: close %v", b, r.KeepAlive, std.Close)
	}
	ours := http.Header{}
	for _, f := range r.Fields {
		ours.Add(textproto.CanonicalMIMEHeaderKey(string(f.Name)), string(f.Value))
	}
	// What net/http removes from the map, joins or adds.
	for _, name := range []string{"Host", "Transfer-Encoding", "Content-Length", "Trailer", "Cache-Control"} {
		ours.Del(name)
		std.Header.Del(name)
	}
	for name, values := range ours {
		if !slices.Equal(values, std.Header[name]) {
			t.Errorf("%q: %s %q, net/http: %q", b, name, values, std.Header[name])
		}
	}
	if len(ours) != len(std.Header) {
		t.Errorf("%q: fields %q, net/http: %q", b, ours, std.Header)
	}
}

// laxer returns why Parse may accept what net/http does not.
func laxer(r *Request, b []byte) string {
	target := strings.Fields(string(b))[1]
	if r.Method == CONNECT {
		target = "http://" + target
	}
	if _, err := url.ParseRequestURI(target); err != nil {
		return "a URL that does not decode: routes compare the path as it was sent, so it is 404"
	}
	if r.Chunked && r.Get("trailer") != nil {
		return "Trailer announces what must not be there: trailers are ignored"
	}
	return ""
}

// stricter reports whether err is a refusal that only Parse has, and the request has what
// it is about.
func stricter(err error, b []byte, std *http.Request) bool {
	line, header, _ := strings.Cut(string(b), "\n")
	lower := strings.ToLower(header)
	switch err {
	case ErrBadRequestLine: // a bare LF, CONNECT to nowhere
		return !strings.HasSuffix(line, "\r") || std.RequestURI == ""
	case ErrBadTarget: // '*' not for OPTIONS, other schemes, user information, odd hosts
		return std.RequestURI[0] != '/'
	case ErrFragment:
		return strings.Contains(std.RequestURI, "#")
	case ErrLongMethod:
		return len(std.Method) > maxMethod
	case ErrVersion: // net/http leaves it to the server
		return std.ProtoMajor != 1 || std.ProtoMinor > 1
	case ErrLineEnd: // bare LF
		return strings.Count(header, "\n") != strings.Count(header, "\r\n")
	case ErrFieldName: // net/http keeps a name with a space and drops a field without a name
		return slices.ContainsFunc(strings.Split(header, "\n"), func(line string) bool {
			name, _, _ := strings.Cut(line, ":")
			return name == "" || strings.Contains(name, " ")
		})
	case ErrFieldFold:
		return strings.Contains(header, "\n ") || strings.Contains(header, "\n\t")
	case ErrNoHost:
		return std.Host == "" || std.URL.IsAbs() || std.Method == "CONNECT"
	case ErrBadHost:
		return strings.ContainsFunc(lower, func(c rune) bool { return c >= 0x80 || strings.ContainsRune(" \t,/@\"#<>?\\^`{|}", c) })
	case ErrTwoFramings:
		return strings.Contains(lower, "transfer-encoding") && strings.Contains(lower, "content-length")
	case ErrTransferEncoding10, ErrTransferEncoding, ErrTransferCoding:
		return strings.Contains(lower, "transfer-encoding")
	case ErrContentLength, ErrContentLengths: // net/http overlooks them when the body is chunked
		return strings.Contains(lower, "transfer-encoding")
	case ErrBodyTooLarge:
		return std.ContentLength > testLimits.Body
	case ErrTooManyFields:
		return strings.Count(header, "\n") > testLimits.Fields
	case ErrExpectation:
		return strings.Contains(lower, "expect")
	}
	return false
}
