package docs_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"icomet/docs"
)

// TestOpenAPIIsValid: the document is OpenAPI 3.1.
func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	if err := load(t).Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// httpStatuses are those that say what is wrong with HTTP itself, which the document lists
// once, as the default.
var httpStatuses = []int{404, 405, 408, 413, 414, 417, 431, 501, 505}

// document is docs/openapi.yaml, with what has been seen of it.
type document struct {
	t     *testing.T
	calls []*call
	seen  map[string]bool // "GET /path 200", and "operation 200 type"
	made  int             // channels, by newChannel
}

// call is one operation, on one path.
type call struct {
	method, path string
	admin        bool
	op           *openapi3.Operation
	params       []*openapi3.Parameter // but for those of the path
	get          *openapi3.Operation   // of the same path, for HEAD
}

func (c *call) String() string { return c.method + " " + c.path }

func readDocument(t *testing.T) *document {
	t.Helper()
	d := &document{t: t, seen: map[string]bool{}}
	for path, item := range load(t).Paths.Map() {
		paths := []string{path}
		var params []*openapi3.Parameter
		for _, ref := range item.Parameters {
			p := ref.Value
			if p.In != "path" {
				params = append(params, p)
				continue
			}
			paths = nil
			for _, value := range p.Schema.Value.Enum {
				paths = append(paths, strings.ReplaceAll(path, "{"+p.Name+"}", fmt.Sprint(value)))
			}
		}
		for _, one := range paths {
			for method, op := range item.Operations() {
				d.calls = append(d.calls, &call{
					method: method, path: one, op: op, params: params, get: item.Get,
					admin: strings.HasSuffix(item.Servers[0].URL, ":8000"),
				})
			}
		}
	}
	slices.SortFunc(d.calls, func(a, b *call) int { return strings.Compare(a.String(), b.String()) })
	return d
}

// documents says whether the operation lists the status for itself.
func (c *call) documents(status int) bool {
	return c.op.Responses.Value(strconv.Itoa(status)) != nil
}

// check judges an answer, whose body it reads unless the response stays open.
func (d *document) check(c *call, about string, resp *http.Response) (body string) {
	d.t.Helper()
	open := c.opens() && (resp.StatusCode == 200 || resp.StatusCode == 101)
	if !open {
		all, err := io.ReadAll(resp.Body)
		if err != nil {
			d.t.Errorf("%s: %v", about, err)
		}
		body = string(all)
	}
	d.seen[c.String()+" "+resp.Status[:3]] = true
	answer := c.op.Responses.Value(resp.Status[:3])
	if answer == nil {
		if answer = c.op.Responses.Default(); answer == nil || !slices.Contains(httpStatuses, resp.StatusCode) {
			d.t.Errorf("%s: status %d is not documented: %.200s", about, resp.StatusCode, body)
			return body
		}
	}
	given := resp.Header.Get("Content-Type")
	kind, parts, err := mime.ParseMediaType(given)
	content := answer.Value.Content
	if c.method == "HEAD" && resp.StatusCode == 200 {
		content = c.get.Responses.Value("200").Value.Content
	}
	if n := len(content); given == "" || n == 0 {
		if given != "" || n != 0 {
			d.t.Errorf("%s: %d has Content-Type %q, documented are %d", about, resp.StatusCode, given, n)
		}
		return body
	}
	media := content[kind]
	charset := parts["charset"]
	if err != nil || media == nil || charset != "utf-8" && charset != "" {
		d.t.Errorf("%s: %d has Content-Type %q, which is not documented", about, resp.StatusCode, given)
		return body
	}
	d.seen[c.op.OperationID+" "+resp.Status[:3]+" "+kind] = true
	if open && kind == "application/json" {
		line, err := bufio.NewReader(resp.Body).ReadString('\n') // a message
		if err != nil {
			d.t.Errorf("%s: %v after %q", about, err, line)
		}
		d.checkBody(about, kind, media, line)
	}
	if c.method != "HEAD" && !open {
		d.checkBody(about, kind, media, body)
	}
	return body
}

// checkBody judges a body by its schema.
func (d *document) checkBody(about, kind string, media *openapi3.MediaType, body string) {
	d.t.Helper()
	schema := media.Schema.Value
	var values []any
	switch kind {
	case "application/json", "application/x-ndjson":
		for in := json.NewDecoder(strings.NewReader(body)); in.More(); {
			var v any
			if err := in.Decode(&v); err != nil {
				d.t.Errorf("%s: %v in %s", about, err, body)
				return
			}
			values = append(values, v)
		}
	default:
		values = []any{body}
	}
	for _, v := range values {
		if err := schema.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			d.t.Errorf("%s: the body is not as documented: %.300s: %v", about, body, err)
		}
	}
}

// TestOpenAPIBodies: what a call takes from the query it takes from a form and from JSON too.
func TestOpenAPIBodies(t *testing.T) {
	t.Parallel()
	for _, c := range readDocument(t).calls {
		if c.op.RequestBody == nil {
			continue
		}
		for kind, media := range c.op.RequestBody.Value.Content {
			if kind != "application/json" && kind != "application/x-www-form-urlencoded" {
				continue
			}
			for _, p := range c.params {
				if p.In == "query" && media.Schema.Value.Properties[p.Name] == nil {
					t.Errorf("%s: %s is not in the body of type %s", c, p.Name, kind)
				}
			}
		}
	}
}
