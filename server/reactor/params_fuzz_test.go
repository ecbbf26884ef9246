package reactor

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"icomet/httpparse"
	"icomet/server/params"
)

// FuzzCallback holds the callback check against the rule of the protocol as it is
// written there: what passes goes into a script as it is.
func FuzzCallback(f *testing.F) {
	rule := regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$.]{0,127}$`)
	for _, s := range []string{"a", "$", "_.a", ".a", "9a", "a()", "a\n", "a;alert(1)//", "a\u2028", "ａ", "a[0]", "</script>",
		strings.Repeat("a", 128), strings.Repeat("a", 129)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, cb []byte) {
		// $ matches before a final line end in other dialects, not in Go's.
		if got, want := validCallback(cb), rule.Match(cb); got != want && len(cb) > 0 {
			t.Errorf("%q: %v, want %v", cb, got, want)
		}
	})
}

// FuzzForm holds the reading of parameters, from the query and from a body that is a
// form or JSON, against net/url and encoding/json.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"", "cname=a&content=b", "cname=a&cname=b", "cname=%61+%2B&seq=1", "content=%zz", "cb&token=", "cname=a%00", `{"cname":"a","seq":1}`,
		"\ufeff{\"cname\":\"a\"}", "last_event_id=1&lastEventId=2", `{"cname":"a","cname":"b"}`, `{"cname":"\u0061"}`} {
		f.Add(s, "cname=query&noop=1", false)
		f.Add("noop=2&cname=q", s, true)
	}
	f.Fuzz(func(t *testing.T, body, query string, isJSON bool) {
		kind := "application/x-www-form-urlencoded"
		if isJSON {
			kind = "application/json; charset=utf-8"
		}
		r := &Request{body: []byte(body)}
		r.Method, r.Query = httpparse.POST, []byte(query)
		r.Fields = []httpparse.Field{{Name: []byte("Content-Type"), Value: []byte(kind)}}
		err := r.ParseParams(params.SetOf(params.Cname))
		if !isJSON && looksLikeJSON(r.body) {
			if values, bad := url.ParseQuery(query); bad == nil && !values.Has("cname") && err != httpparse.ErrBodyNotForm {
				t.Fatalf("body %q, query %q: %v, want a refusal of JSON that says it is a form", body, query, err)
			}
			return
		}
		want, ok := readParams(body, query, isJSON)
		for _, other := range []string{"last_event_id", "Last-Event-ID"} {
			if _, there := want[other]; there {
				return // a map does not tell which spelling came first
			}
		}
		if strings.Contains(body+query, ";") && !isJSON {
			return // an error to net/url alone
		}
		if strings.Contains(query, ";") {
			return
		}
		if (err == nil) != ok {
			t.Fatalf("body %q, query %q: %v, want ok %v", body, query, err, ok)
		}
		for n := params.Param(0); n < params.Count && ok; n++ {
			if value, there := want[n.String()]; there != r.Params.Has[n] || value != string([]rune(string(r.Params.Get(n)))) {
				t.Errorf("body %q, query %q: %s is %q (%v), want %q (%v)", body, query, n.String(), r.Params.Get(n), r.Params.Has[n], value, there)
			}
		}
	})
}

// readParams is ParseParams in the plainest way. Values are compared as runes, since
// encoding/json replaces what is not UTF-8.
func readParams(body, query string, isJSON bool) (map[string]string, bool) {
	all := make(map[string]string)
	add := func(values url.Values) {
		for name, list := range values {
			if _, there := all[name]; !there {
				all[name] = string([]rune(list[0]))
			}
		}
	}
	if isJSON && body != "" {
		members, ok := flatJSON(strings.TrimPrefix(body, "\ufeff"))
		if !ok {
			return nil, false
		}
		add(members)
	} else if body != "" {
		values, err := url.ParseQuery(body)
		if err != nil {
			return nil, false
		}
		add(values)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, false
	}
	add(values)
	for _, part := range []string{query, body} {
		if strings.Contains(part, "\x00") || strings.Contains(part, "%00") && (!isJSON || part == query) {
			return nil, false
		}
	}
	return all, true
}

func flatJSON(body string) (url.Values, bool) {
	members := url.Values{}
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if first, err := d.Token(); err != nil || first != json.Delim('{') || !json.Valid([]byte(body)) {
		return nil, false
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
			return nil, false
		}
		if strings.Contains(name.(string)+text, "\x00") {
			return nil, false
		}
		members.Add(name.(string), text)
	}
	return members, true
}
