package server

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"icomet/docs"
	"icomet/server/config"
)

// TestOpenAPINamesTheRoutes: docs/openapi.yaml has each path of both ports with its methods,
// and no other.
func TestOpenAPINamesTheRoutes(t *testing.T) {
	cfg := config.Default()
	cfg.Front.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	s, err := New(Options{Config: cfg, Logger: slog.New(slog.DiscardHandler), CrashOnPanic: true})
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]string{}
	for port, endpoints := range map[string]map[string]*endpoint{"8100": s.front, "8000": s.admin} {
		for path, e := range endpoints {
			routes[port+path] = strings.Join(sorted(strings.Split(e.allow, ", ")), " ")
		}
	}
	documented := documentedRoutes(t)
	for route, methods := range routes {
		if documented[route] != methods {
			t.Errorf("%s takes %q, documented is %q", route, methods, documented[route])
		}
	}
	for route := range documented {
		if routes[route] == "" {
			t.Errorf("%s is documented and there is no such path", route)
		}
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// documentedRoutes are the methods of the document, by port and path.
func documentedRoutes(t *testing.T) map[string]string {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]string{}
	for path, item := range doc.Paths.Map() {
		var methods []string
		for method := range item.Operations() {
			methods = append(methods, method)
		}
		url := item.Servers[0].URL
		port := url[strings.LastIndexByte(url, ':')+1:]
		for _, one := range expanded(path, item) {
			routes[port+one] = strings.Join(sorted(methods), " ")
		}
	}
	return routes
}

// expanded are the paths that a path with a parameter stands for.
func expanded(path string, item *openapi3.PathItem) (paths []string) {
	for _, ref := range item.Parameters {
		p := ref.Value
		if p.In != "path" {
			continue
		}
		for _, value := range p.Schema.Value.Enum {
			paths = append(paths, strings.ReplaceAll(path, "{"+p.Name+"}", fmt.Sprint(value)))
		}
		return paths
	}
	return []string{path}
}
