package docs_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"icomet/server/config"
	"icomet/server/servertest"
)

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// TestOpenAPICalls: the running server answers as docs/openapi.yaml says, call by call, and
// each status that it names for a call is really given.
func TestOpenAPICalls(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	plain := start(t, func(cfg *config.Config) { cfg.Limits.Body = 1024 })
	for _, c := range d.calls {
		d.tryGood(plain, c)
	}
	for _, c := range d.calls {
		d.tryBadValues(plain, c)
		d.tryEdges(plain, c)
		d.tryCallback(plain, c)
		d.tryBrokenRequests(plain, c)
	}
	d.tryKeys(start(t, func(cfg *config.Config) { cfg.Admin.Keys = []string{"key"} }))
	d.tryAddress(start(t, func(cfg *config.Config) { cfg.Admin.Allow = []string{"192.0.2.1"} }))
	d.tryStates(plain)
	d.tryLimits(start(t, func(cfg *config.Config) {
		cfg.Front.MaxChannels, cfg.Front.MaxSubscribersPerChannel = 1, 1
	}))
	d.tryTokens(start(t, func(cfg *config.Config) { cfg.Front.Auth = "token" }))
	d.tryDistress()
	d.checkAllSeen()
}

// try makes a call and judges its answer.
func (d *document) try(s *running, c *call, about string, r request, want int) string {
	d.t.Helper()
	about = c.String() + ", " + about
	resp := s.do(c, r)
	defer resp.Body.Close()
	body := d.check(c, about, resp)
	if resp.StatusCode != want {
		d.t.Errorf("%s: status %d, not %d: %.200s", about, resp.StatusCode, want, body)
	}
	return body
}

func (d *document) tryGood(s *running, c *call) {
	d.t.Helper()
	want := 200
	switch {
	case c.path == "/ws" && c.method == "GET":
		want = 101
	case c.method == "OPTIONS":
		want = 204
	}
	r := c.good()
	renew := func() {
		if c.changes() {
			r.query.Set("cname", d.newChannel(s))
		}
	}
	renew()
	d.try(s, c, "good", r, want)
	if c.method != "POST" || len(r.query) == 0 {
		return
	}
	renew()
	d.try(s, c, "as a form", request{form: r.query}, want)
	renew()
	members := map[string]string{}
	for name := range r.query {
		members[name] = r.query.Get(name)
	}
	text, _ := json.Marshal(members) // of texts: no error
	d.try(s, c, "as JSON", request{kind: "application/json", body: string(text)}, want)
}

// changes says whether the call needs a channel, which is another one afterwards.
func (c *call) changes() bool { return c.path == "/clear" || c.path == "/close" || c.path == "/end" }

// newChannel makes a channel that no other call has touched.
func (d *document) newChannel(s *running) (name string) {
	d.t.Helper()
	d.made++
	name = "made" + strconv.Itoa(d.made)
	d.try(s, d.find("GET /push"), "before", request{query: url.Values{"cname": {name}, "content": {"x"}}}, 200)
	return name
}

// tryBadValues: each value that a parameter's schema forbids is 400, with its name.
func (d *document) tryBadValues(s *running, c *call) {
	d.t.Helper()
	if c.method == "OPTIONS" {
		return
	}
	for _, p := range c.params {
		if p.In != "query" || c.method == "HEAD" && c.op.Tags[0] == "subscribe" && p.Name != "cb" {
			continue // the head of a subscribe path needs no channel
		}
		values := bad(p)
		if p.Required {
			r := c.good()
			r.query.Del(p.Name)
			d.tryBad(s, c, p.Name, "none", r)
		}
		for _, value := range values {
			r := c.good()
			r.query.Set(p.Name, value)
			switch p.Name {
			case "value":
				r.query.Set("after", "a")
			case "epoch":
				if c.admin {
					r.query.Set("if_seq", "1")
				}
			}
			d.tryBad(s, c, p.Name, strconv.Quote(value), r)
		}
	}
}

func (d *document) tryBad(s *running, c *call, name, value string, r request) {
	d.t.Helper()
	body := d.try(s, c, name+" "+value, r, 400)
	if c.method != "HEAD" && !strings.Contains(body, name) {
		d.t.Errorf("%s: the answer to %s %.40s does not name it: %s", c, name, value, body)
	}
}

// tryEdges: the outermost values that a parameter's schema allows are no mistake.
func (d *document) tryEdges(s *running, c *call) {
	d.t.Helper()
	for _, p := range c.params {
		if p.In != "query" || c.method == "OPTIONS" {
			continue
		}
		for _, value := range edges(p) {
			r := c.good()
			if c.changes() {
				r.query.Set("cname", d.newChannel(s))
			}
			r.query.Set(p.Name, value)
			about := c.String() + ", " + p.Name + " " + strconv.Quote(value)
			resp := s.do(c, r)
			body := d.check(c, about, resp)
			resp.Body.Close()
			if resp.StatusCode == 400 {
				d.t.Errorf("%s: 400 %s", about, body)
			}
		}
	}
}

// tryCallback: with a callback and without one.
func (d *document) tryCallback(s *running, c *call) {
	d.t.Helper()
	if c.method == "OPTIONS" || !slices.ContainsFunc(c.params, func(p *openapi3.Parameter) bool { return p.Name == "cb" }) {
		return
	}
	for _, callback := range []string{"", "a.b"} {
		r := c.good()
		r.query.Set("cb", callback)
		d.try(s, c, "cb "+callback, r, 200)
	}
}

// tryBrokenRequests: requests that are wrong whatever the call is.
func (d *document) tryBrokenRequests(s *running, c *call) {
	d.t.Helper()
	if c.documents(400) {
		broken := *c
		broken.path += "?%"
		r := c.good()
		r.query = nil
		resp := s.do(&broken, r)
		d.check(c, c.String()+", broken escape", resp)
		resp.Body.Close()
		if resp.StatusCode != 400 {
			d.t.Errorf("%s: a broken escape is %d", c, resp.StatusCode)
		}
	}
	if c.documents(304) {
		d.try(s, c, "the same ETag", request{field: http.Header{"If-None-Match": {"*"}}}, 304)
	}
	if c.documents(413) {
		r := c.good()
		if r.kind == "" {
			r.kind = "application/x-www-form-urlencoded"
		}
		r.body = strings.Repeat("x", 1025)
		d.try(s, c, "large body", r, 413)
	}
	if c.documents(415) {
		d.try(s, c, "body of another type", request{kind: "text/plain", body: "x"}, 415)
	}
	if c.documents(426) {
		r := c.good()
		r.field.Set("Sec-WebSocket-Version", "12")
		d.try(s, c, "another version", r, 426)
	}
	if c.documents(403) {
		r := c.good()
		r.field.Set("Origin", "https://elsewhere.example")
		if !c.admin {
			listed := start(d.t, func(cfg *config.Config) { cfg.Front.AllowOrigins = []string{"https://example.com"} })
			d.try(listed, c, "another origin", r, 403)
		} else if c.op.Security == nil {
			d.try(s, c, "another origin", r, 403)
		}
	}
	other := *c
	other.method = "DELETE"
	resp := s.do(&other, request{})
	d.check(c, c.String()+", DELETE", resp)
	resp.Body.Close()
	if resp.StatusCode != 405 || !strings.Contains(resp.Header.Get("Allow"), c.method) {
		d.t.Errorf("%s: DELETE is %d, Allow %q", c, resp.StatusCode, resp.Header.Get("Allow"))
	}
}

// tryKeys: the calls that say so need a key, and no others.
func (d *document) tryKeys(s *running) {
	d.t.Helper()
	for _, c := range d.calls {
		switch {
		case !c.admin:
		case c.documents(401):
			d.try(s, c, "no key", c.good(), 401)
		default:
			d.try(s, c, "no key", c.good(), 200)
		}
	}
}

// tryAddress: no call of the admin port answers an address that is not allowed.
func (d *document) tryAddress(s *running) {
	d.t.Helper()
	for _, c := range d.calls {
		if c.admin {
			d.try(s, c, "foreign address", request{}, 403)
		}
	}
}

func (d *document) find(name string) *call {
	d.t.Helper()
	for _, c := range d.calls {
		if c.String() == name {
			return c
		}
	}
	d.t.Fatalf("%s is not documented", name)
	return nil
}

// tryStates: the answers that depend on how a channel stands.
func (d *document) tryStates(s *running) {
	d.t.Helper()
	values := func(pairs ...string) request {
		q := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return request{query: q}
	}
	d.try(s, d.find("POST /end"), "with content", values("cname", "ended", "content", "x"), 200)
	for _, method := range []string{"GET ", "POST "} {
		for _, path := range []string{"/close", "/clear", "/end"} {
			d.try(s, d.find(method+path), "unknown", values("cname", "unknown"), 404)
		}
		for _, path := range []string{"/push", "/pub"} {
			c := d.find(method + path)
			d.try(s, c, "if_seq", values("cname", "unknown", "content", "x", "if_seq", "7"), 409)
			d.try(s, c, "if_seq, cb", values("cname", "ended", "content", "x", "cb", "f"), 409)
			d.try(s, c, "position", values("cname", "news", "content", "x", "position", "1", "id", method[:3]), 200)
			d.try(s, c, "duplicate", values("cname", "news", "content", "x", "position", "1", "id", method[:3], "cb", "f"), 200)
		}
		d.try(s, d.find(method+"/info"), "one", values("cname", "news"), 200)
		d.try(s, d.find(method+"/check"), "cb", values("cname", "news", "cb", "f"), 200)
		d.try(s, d.find(method+"/stats"), "cb", values("cb", "f"), 200)
		for _, path := range []string{"/poll", "/sub"} {
			c := d.find(method + path)
			d.try(s, c, "stored", values("cname", "news", "seq", "1", "cb", ""), 200)
			d.try(s, c, "position", values("cname", "news", "epoch", "", "cb", "f"), 200)
			d.try(s, c, "end", values("cname", "ended", "seq", "9", "epoch", "00000001", "cb", ""), 200)
		}
		for _, path := range []string{"/stream", "/sse"} {
			d.try(s, d.find(method+path), "raw, unknown", values("cname", "unknown", "raw", "1"), 204)
			d.try(s, d.find(method+path), "raw", values("cname", "news", "raw", "1"), 200)
		}
	}
	ws := d.find("GET /ws")
	r := ws.good()
	r.query = url.Values{"cname": {"unknown"}, "raw": {"1"}}
	d.try(s, ws, "raw, unknown", r, 204)
}

// tryLimits: s has room for one channel, with one subscriber.
func (d *document) tryLimits(s *running) {
	d.t.Helper()
	only := url.Values{"cname": {"only"}, "content": {"x"}}
	d.try(s, d.find("GET /push"), "first", request{query: only}, 200)
	resp := s.do(d.find("GET /stream"), request{query: only})
	defer resp.Body.Close()
	for _, c := range d.calls {
		if !c.documents(429) {
			continue
		}
		r := c.good()
		r.query.Set("cname", "another")
		r.query.Set("content", "x")
		if !c.admin {
			r.query.Set("cname", "only")
			r.query.Set("raw", "1")
		}
		d.try(s, c, "full", r, 429)
	}
}

// tryTokens: s wants tokens.
func (d *document) tryTokens(s *running) {
	d.t.Helper()
	d.try(s, d.find("GET /push"), "first", request{query: url.Values{"cname": {"a"}, "content": {"x"}}}, 200)
	for _, c := range d.calls {
		if !c.admin && c.documents(401) {
			r := c.good()
			r.query = url.Values{"cname": {"a"}, "raw": {"1"}, "token": {"wrong"}}
			d.try(s, c, "wrong token", r, 401)
		}
	}
}

// unseen are documented and cannot be provoked from outside.
var unseen = map[string]string{"/healthz 503": "an event loop that hangs"}

// checkAllSeen: nothing is documented that the calls above did not get. 500 is given by some
// of the profiles, which are one operation.
func (d *document) checkAllSeen() {
	d.t.Helper()
	for _, c := range d.calls {
		for code, answer := range c.op.Responses.Map() {
			if code == "default" || unseen[c.path+" "+code] != "" {
				continue
			}
			if !d.seen[c.String()+" "+code] && code != "500" {
				d.t.Errorf("%s: status %s is documented and was not given", c, code)
			}
			for kind := range answer.Value.Content {
				if !d.seen[c.op.OperationID+" "+code+" "+kind] {
					d.t.Errorf("%s: %s of type %s is documented and was not given", c, code, kind)
				}
			}
		}
	}
}

// TestOpenAPIStatsTLS: what /stats tells of a port that speaks TLS.
func TestOpenAPIStatsTLS(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *config.Config) { cfg.Front.TLS.Certificates = []string{servertest.Certificate()} })
	d := readDocument(t)
	stats := d.try(s, d.find("GET /stats"), "of a port with TLS", request{}, 200)
	for _, part := range []string{`"tls":{"front":{`, `"names":["icomet.test"`, `"not_after":"`} {
		if !strings.Contains(stats, part) {
			t.Errorf("there is no %s in %s", part, stats)
		}
	}
}

// TestOpenAPIIsServed: the admin port gives the document, also without a key.
func TestOpenAPIIsServed(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *config.Config) { cfg.Admin.Keys = []string{"key"} })
	d := readDocument(t)
	served := d.try(s, d.find("GET /openapi.yaml"), "served", request{}, 200)
	if !bytes.HasPrefix([]byte(served), []byte("openapi: 3.1.")) {
		t.Errorf("%.40q", served)
	}
}
