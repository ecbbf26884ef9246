package docs_test

import (
	"bufio"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"

	"icomet/docs"
)

// TestOpenAPIIsValid: the document is OpenAPI 3.1.
func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	doc, err := libopenapi.NewDocument(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, faults := v.ValidateDocument(); !ok {
		for _, f := range faults {
			t.Errorf("%s: %s", f.Message, f.Reason)
			for _, s := range f.SchemaValidationErrors {
				t.Errorf("  %s: %s", s.FieldPath, s.Reason)
			}
		}
	}
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
	op           *v3.Operation
	params       []*v3.Parameter // but for those of the path
	get          *v3.Operation   // of the same path, for HEAD
}

func (c *call) String() string { return c.method + " " + c.path }

func readDocument(t *testing.T) *document {
	t.Helper()
	doc, err := libopenapi.NewDocument(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	d := &document{t: t, seen: map[string]bool{}}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		paths := []string{path}
		var params []*v3.Parameter
		for _, p := range item.Parameters {
			if p.In != "path" {
				params = append(params, p)
				continue
			}
			paths = nil
			for _, value := range p.Schema.Schema().Enum {
				paths = append(paths, strings.ReplaceAll(path, "{"+p.Name+"}", value.Value))
			}
		}
		for _, one := range paths {
			for method, op := range item.GetOperations().FromOldest() {
				d.calls = append(d.calls, &call{
					method: strings.ToUpper(method), path: one, op: op, params: params, get: item.Get,
					admin: strings.HasSuffix(item.Servers[0].URL, ":8000"),
				})
			}
		}
	}
	return d
}

// documents says whether the operation lists the status for itself.
func (c *call) documents(status int) bool {
	return c.op.Responses.FindResponseByCode(status) != nil
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
	answer := c.op.Responses.FindResponseByCode(resp.StatusCode)
	if answer == nil {
		if answer = c.op.Responses.Default; answer == nil || !slices.Contains(httpStatuses, resp.StatusCode) {
			d.t.Errorf("%s: status %d is not documented: %.200s", about, resp.StatusCode, body)
			return body
		}
	}
	given := resp.Header.Get("Content-Type")
	kind, parts, err := mime.ParseMediaType(given)
	content := answer.Content
	if c.method == "HEAD" && resp.StatusCode == 200 {
		content = c.get.Responses.FindResponseByCode(200).Content
	}
	if n := orderedmap.Len(content); given == "" || n == 0 {
		if given != "" || n != 0 {
			d.t.Errorf("%s: %d has Content-Type %q, documented are %d", about, resp.StatusCode, given, n)
		}
		return body
	}
	media := content.GetOrZero(kind)
	charset := parts["charset"]
	if err != nil || media == nil || charset != "utf-8" && charset != "" {
		d.t.Errorf("%s: %d has Content-Type %q, which is not documented", about, resp.StatusCode, given)
		return body
	}
	d.seen[c.op.OperationId+" "+resp.Status[:3]+" "+kind] = true
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
func (d *document) checkBody(about, kind string, media *v3.MediaType, body string) {
	d.t.Helper()
	schema := media.Schema.Schema()
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
		if ok, faults := schema_validation.NewSchemaValidator().ValidateSchemaObject(schema, v); !ok {
			d.t.Errorf("%s: the body is not as documented: %.300s", about, body)
			for _, f := range faults {
				d.t.Errorf("  %s", f.Reason)
				for _, s := range f.SchemaValidationErrors {
					d.t.Errorf("  %s: %s", s.FieldPath, s.Reason)
				}
			}
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
		for kind, media := range c.op.RequestBody.Content.FromOldest() {
			if kind != "application/json" && kind != "application/x-www-form-urlencoded" {
				continue
			}
			for _, p := range c.params {
				if schema := media.Schema.Schema(); p.In == "query" && (schema.Properties == nil || schema.Properties.GetOrZero(p.Name) == nil) {
					t.Errorf("%s: %s is not in the body of type %s", c, p.Name, kind)
				}
			}
		}
	}
}
