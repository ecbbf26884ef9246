package e2e

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"testing"
)

// bodyThat is a body that is no parameters, with the fields that describe it.
type bodyThat struct{ fields, body string }

func compressed(t *testing.T, make func(io.Writer) io.WriteCloser, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := make(&b)
	_, err := io.WriteString(w, text)
	if err != nil || w.Close() != nil {
		t.Fatal("the text cannot be compressed")
	}
	return b.String()
}

// strangeBodies are what tools send that know no form, made for the parameters.
func strangeBodies(t *testing.T, cname string) map[string]bodyThat {
	t.Helper()
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	_, _, _ = w.WriteField("cname", cname), w.WriteField("content", "hi"), w.Close()
	form, object := "cname="+cname+"&content=hi", `{"cname":"`+cname+`","content":"hi"}`
	zip := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	deflate := func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 9); return z }
	const formField = "Content-Type: " + formBody + "\r\n"
	return map[string]bodyThat{
		"multipart":         {"Content-Type: " + w.FormDataContentType() + "\r\n", parts.String()},
		"text":              {"Content-Type: text/plain\r\n", form},
		"XML":               {"Content-Type: application/xml\r\n", "<content>hi</content>"},
		"bytes":             {"Content-Type: application/octet-stream\r\n", form},
		"jsonp":             {"Content-Type: application/jsonp\r\n", object},
		"JSON as text":      {"Content-Type: text/json\r\n", object},
		"JSON as form":      {formField, object},
		"JSON and space":    {formField, "\r\n " + object},
		"JSON without type": {"", object},
		"gzip":              {formField + "Content-Encoding: gzip\r\n", compressed(t, zip, form)},
		"gzip of JSON":      {"Content-Type: application/json\r\nContent-Encoding: x-gzip\r\n", compressed(t, zip, object)},
		"deflate":           {formField + "Content-Encoding: deflate\r\n", compressed(t, deflate, form)},
		"two codings":       {formField + "Content-Encoding: identity\r\nContent-Encoding: br\r\n", form},
		"two types":         {formField + "Content-Type: text/plain\r\n", form},
		"Latin-1":           {"Content-Type: " + formBody + "; charset=\"ISO-8859-1\"\r\n", form + "%e4"},
	}
}

// TestStrangeBodies: what is not understood is refused, with nothing done, on every call
// that needs something of it. It is not looked at when the query has all that the call needs.
func TestStrangeBodies(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.admin)
	send := func(path string, b bodyThat) reply {
		c.sendf("POST %s HTTP/1.1\r\nHost: test\r\n%sContent-Length: %d\r\n\r\n%s", path, b.fields, len(b.body), b.body)
		return c.reply()
	}
	for about, b := range strangeBodies(t, "a") {
		for _, path := range []string{
			"/push", "/push?cname=a", "/push?content=x", "/pub?cname=a", "/broadcast", "/broadcast?cname=a",
			"/sign", "/close?content=x", "/clear", "/info", "/check",
		} {
			if r := send(path, b); r.status != 415 || r.close || strings.Count(r.body, "\n") != 1 {
				t.Errorf("%s to %s: %d %q, want 415", about, path, r.status, r.body)
			}
		}
		if about == "Latin-1" {
			continue // is a form: its parameters count before those of the query
		}
		if r := send("/push?cname=query&content=q", b); r.status != 200 {
			t.Errorf("%s beside a whole query: %d %q", about, r.status, r.body)
		}
		if r := send("/stats", b); r.status != 200 {
			t.Errorf("%s to a call without parameters: %d %q", about, r.status, r.body)
		}
	}
	if got, want := s.call("/check?cname=a")+s.call("/check?cname=query"), "{}\n{\"query\": 1}\n"; got != want {
		t.Errorf("the channels are %q, want %q", got, want)
	}
	// An empty body says nothing, whatever its type.
	c.sendf("%s", post("/push?cname=b&content=x", "text/plain", ""))
	c.wantReply(200, "{\"type\":\"ok\"}\n")
}

// TestContentMissing: a publish without content is a mistake, one with empty content is not.
func TestContentMissing(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.admin)
	for _, path := range []string{"/push?cname=a", "/pub?cname=a", "/broadcast?x=y"} {
		for _, wrong := range []string{"", "&message=x", "&Content=x", "&contents=x"} {
			c.get(path+wrong).wantError(400, "content is missing", false)
			c.sendf("%s", post(path, formBody, "x=1"+wrong))
			c.wantError(400, "content is missing", false)
			c.sendf("%s", post(path, js, `{"message":"x"}`))
			c.wantError(400, "content is missing", false)
		}
	}
	if got := s.hub.Channels(); got != 0 {
		t.Errorf("%d channels were made", got)
	}
	for i, empty := range []string{"/push?cname=a&content=", "/pub?cname=a&content"} {
		if got := s.call(empty); got != "{\"type\":\"ok\"}\n" {
			t.Errorf("%s: %q", empty, got)
		}
		want := fmt.Sprintf(`[{"type":"data","cname":"a","seq":%d,"content":""}]`+"\n", i+1)
		dial(t, s.front).get(fmt.Sprintf("/sub?cname=a&seq=%d", i+1)).wantReply(200, want)
	}
	s.call("/broadcast?content=")
}
