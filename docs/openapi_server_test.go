package docs_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"icomet/channel"
	"icomet/server"
	"icomet/server/config"
	"icomet/server/servertest"
)

// running is a server in this process.
type running struct {
	*server.Server
	t            *testing.T
	front, admin string // http://host:port
}

// start runs a server with the defaults as changed by edit, until the test ends.
func start(t *testing.T, edit func(*config.Config)) *running {
	t.Helper()
	return startOn(t, edit, func(h *channel.Hub) (channel.Engine, error) { return channel.NewMemory(h), nil })
}

func startOn(t *testing.T, edit func(*config.Config), engine func(*channel.Hub) (channel.Engine, error)) *running {
	t.Helper()
	cfg := config.Default()
	cfg.Front.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Limits.DrainTimeout = config.Duration(100 * time.Millisecond)
	cfg.Front.ChannelTimeout = 3600 // longer than the slowest machine takes
	if edit != nil {
		edit(&cfg)
	}
	s, err := server.New(server.Options{
		Config: cfg, Logger: slog.New(slog.DiscardHandler), CrashOnPanic: true, Engine: engine,
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	t.Cleanup(func() {
		s.Shutdown()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Ready():
	case <-time.After(servertest.Patience):
		t.Fatal("the server does not start")
	}
	return &running{Server: s, t: t, front: "http://" + s.FrontAddr().String(), admin: "http://" + s.AdminAddr().String()}
}

// request is what a call is made with.
type request struct {
	query url.Values
	form  url.Values // of a POST
	kind  string     // Content-Type of body
	body  string
	field http.Header
}

var client = http.Client{
	Timeout:       servertest.Patience,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// do makes the call. The caller closes the body.
func (s *running) do(c *call, r request) *http.Response {
	s.t.Helper()
	resp, err := s.request(c, r)
	if err != nil {
		s.t.Fatalf("%s: %v", c, err)
	}
	return resp
}

func (s *running) request(c *call, r request) (*http.Response, error) {
	s.t.Helper()
	base := s.front
	if c.admin {
		base = s.admin
	}
	target, kind, body := base+c.path, r.kind, r.body
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	if r.form != nil {
		kind, body = "application/x-www-form-urlencoded", r.form.Encode()
	}
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequest(c.method, target, reader)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, values := range r.field {
		req.Header[name] = values
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	return client.Do(req)
}

// good is a request that does what the call is for, without waiting: the parameters that
// are required, as their examples say.
func (c *call) good() request {
	r := request{query: url.Values{}, field: http.Header{}}
	for _, p := range c.params {
		if p.Required {
			r.query.Set(p.Name, fmt.Sprint(p.Example))
		}
	}
	switch {
	case c.path == "/ws":
		r.query.Set("cname", "news")
		r.field = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		}
	case c.path == "/batch":
		r.kind, r.body = "application/x-ndjson", `{"cname":"news","content":"hi"}`+"\n\n"
	case c.path == "/debug/pprof/profile" || c.path == "/debug/pprof/trace":
		r.query.Set("seconds", "1")
	}
	if c.method == "OPTIONS" {
		r.query = nil
		r.field.Set("Origin", "https://example.com")
		r.field.Set("Access-Control-Request-Method", "GET")
	}
	return r
}

// opens says whether the response to good stays open.
func (c *call) opens() bool {
	if c.method != "GET" && c.method != "POST" {
		return false
	}
	switch c.path {
	case "/stream", "/sse", "/iframe", "/ws", "/psub", "/dashboard/feed":
		return true
	}
	return false
}

// bad are values that the parameter's schema forbids.
func bad(p *openapi3.Parameter) (values []string) {
	s := p.Schema.Value
	if s.Type.Includes("integer") {
		values = append(values, "x", "1.5", "1x")
		if s.Format == "int64" {
			values = append(values, "9223372036854775808")
		}
	}
	if s.Type.Includes("number") {
		values = append(values, "x")
	}
	if s.Min != nil {
		values = append(values, number(*s.Min-1))
	}
	if s.Max != nil {
		values = append(values, number(*s.Max+1))
	}
	if len(s.Enum) > 0 {
		values = append(values, "other")
	}
	if s.MinLength > 0 {
		values = append(values, "")
	}
	if s.MaxLength != nil {
		values = append(values, strings.Repeat("n", int(*s.MaxLength)+1))
	}
	if s.Pattern != "" {
		values = append(values, "a b", "é")
	}
	return values
}

// edges are the outermost values that the parameter's schema allows.
func edges(p *openapi3.Parameter) (values []string) {
	s := p.Schema.Value
	if s.Min != nil {
		values = append(values, number(*s.Min))
	}
	if s.Max != nil {
		values = append(values, number(*s.Max))
	} else if s.Format == "int64" {
		values = append(values, "9223372036854775807")
	}
	if s.Format == "int64" && s.Min == nil {
		values = append(values, "-9223372036854775808")
	}
	for _, value := range s.Enum {
		values = append(values, fmt.Sprint(value))
	}
	if s.MaxLength != nil {
		values = append(values, strings.Repeat("n", int(*s.MaxLength)))
	}
	return values
}
