package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// listPage is a page of the channels.
type listPage struct {
	Scope    string
	Channels []struct {
		Name                string
		Value               float64
		Subscribers, Stored int
		Next                int64
	}
	Matched int
	More    bool
}

// list asks for a page over HTTP.
func (s *testServer) list(query string) (page listPage, names []string) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.call("/dashboard/channels?"+query)), &page); err != nil {
		s.t.Fatal(err)
	}
	for _, e := range page.Channels {
		names = append(names, e.Name)
	}
	return page, names
}

// TestListPages: pages one after the other give every channel once, in the order.
func TestListPages(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	const n = 57
	for i := range n {
		for range 1 + i%3 {
			s.call(fmt.Sprintf("/push?cname=c%02d&content=x", i))
		}
	}
	for i := range 3 {
		s.open("stream", fmt.Sprintf("cname=c%02d&seq=9", 10*i)).next()
	}
	s.open("stream", "cname=c20&seq=9").next()
	for sort, first := range map[string]string{"subscribers": "c20 c00 c10 c01", "stored": "c02 c05 c08 c11", "name": "c00 c01 c02 c03"} {
		var all []string
		for query := "limit=10&sort=" + sort; ; {
			page, names := s.list(query)
			if page.Matched != n || len(names) > 10 || page.Scope != "all" {
				t.Fatalf("%s: %d matched, %d on the page", sort, page.Matched, len(names))
			}
			all = append(all, names...)
			if !page.More {
				break
			}
			last := page.Channels[len(page.Channels)-1]
			query = fmt.Sprintf("limit=10&sort=%s&after=%s&value=%v", sort, last.Name, last.Value)
		}
		if got := strings.Join(all[:4], " "); got != first {
			t.Errorf("%s: it begins with %s, want %s", sort, got, first)
		}
		if slices.Sort(all); len(slices.Compact(all)) != n || len(all) != n {
			t.Errorf("%s: %d channels", sort, len(all))
		}
	}
	page, names := s.list("search=C1&sort=name&limit=3")
	if page.Matched != 10 || !page.More || strings.Join(names, " ") != "c10 c11 c12" {
		t.Errorf("%d, %v, %v", page.Matched, page.More, names)
	}
	if e := page.Channels[0]; e.Subscribers != 1 || e.Stored != 2 || e.Next != 3 {
		t.Errorf("%+v", e)
	}
}

// TestListOddNames: every name that a channel can have survives the way.
func TestListOddNames(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	var want []string
	for _, name := range []string{"\x01\n\"\\", "</script>", "ä\u2028", strings.Repeat("x", 255)} {
		s.call("/push?content=&cname=" + url.QueryEscape(name))
		want = append(want, name)
	}
	slices.Sort(want)
	if _, names := s.list("sort=name"); !reflect.DeepEqual(names, want) {
		t.Errorf("%q", names)
	}
	if _, names := s.list("sort=name&limit=1&value=0&after=" + url.QueryEscape(want[0])); !reflect.DeepEqual(names, want[1:2]) {
		t.Errorf("%q", names)
	}
}

// TestListRefuses: parameters that make no sense are told.
func TestListRefuses(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for query, word := range map[string]string{
		"sort=age": "sort", "limit=0": "limit", "limit=201": "limit", "limit=x": "limit", "after=a": "value", "after=a&value=x": "value",
	} {
		dial(t, s.admin).get("/dashboard/channels?"+query).wantError(400, word, false)
	}
}
