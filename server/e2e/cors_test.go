package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// ask sends a request with header lines and reads the head of its answer.
func ask(t *testing.T, addr, line string, fields ...string) *http.Response {
	t.Helper()
	c := dial(t, addr)
	c.sendf("%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", line, strings.Join(append(fields, ""), "\r\n"))
	resp, err := http.ReadResponse(c.R, &http.Request{Method: strings.Fields(line)[0]})
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return resp
}

// wantFields checks fields; "" stands for none.
func wantFields(t *testing.T, about string, h http.Header, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := strings.Join(h.Values(pairs[i]), "|"); got != pairs[i+1] {
			t.Errorf("%s: %s is %q, want %q", about, pairs[i], got, pairs[i+1])
		}
	}
}

// frontLines are requests for every kind of front answer.
var frontLines = []string{"GET /poll?cname=a", "GET /stream?cname=a", "GET /sse?cname=a", "GET /iframe?cname=a", "HEAD /sub", "HEAD /iframe",
	"GET /ping", "GET /icomet.js", "GET /icomet.mjs", "GET /nothing", "GET /poll", "PUT /poll"}

// TestFrontPolicies: what each list of origins lets pages do: read, with or without
// credentials, and load under a Cross-Origin-Embedder-Policy.
func TestFrontPolicies(t *testing.T) {
	t.Parallel()
	const page = "https://page.example"
	for _, tc := range []struct{ list, origin, allow, credentials, policy, vary string }{
		{"*", "", "*", "", "cross-origin", ""},
		{"*", page, "*", "", "cross-origin", ""},
		{page, page, page, "true", "", "Origin"},
		{page, "https://other.example", "", "", "", "Origin"},
		{page, "", "", "", "", "Origin"},
		{"*," + page, page, page, "true", "cross-origin", "Origin"},
		{"*," + page, "https://other.example", "*", "", "cross-origin", "Origin"},
		{"", page, "", "", "", "Origin"},
	} {
		s := startServer(t, withSettings(t, "front.allow_origins="+tc.list))
		var fields []string
		if tc.origin != "" {
			fields = []string{"Origin: " + tc.origin}
		}
		for _, line := range frontLines {
			h := ask(t, s.front, line, fields...).Header
			embedder := ""
			if strings.Contains(line, "/iframe") {
				embedder = "require-corp" // the frame itself says so, or it is not shown
			}
			wantFields(t, fmt.Sprintf("%q, %s of %q", tc.list, line, tc.origin), h,
				"Access-Control-Allow-Origin", tc.allow, "Access-Control-Allow-Credentials", tc.credentials,
				"Cross-Origin-Resource-Policy", tc.policy, "Cross-Origin-Embedder-Policy", embedder, "Vary", tc.vary)
		}
	}
}

// TestWaitingPollPolicies: the answer to a poll that has waited says the same.
func TestWaitingPollPolicies(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.allow_origins=*,https://page.example"))
	polls := map[string]*client{"*": dial(t, s.front), "https://page.example": dial(t, s.front)}
	for origin, c := range polls {
		c.sendf("GET /poll?cname=a&seq=1 HTTP/1.1\r\nHost: h\r\nOrigin: %s\r\n\r\n", strings.ReplaceAll(origin, "*", "http://else.example"))
	}
	s.waitSubscribers("a", 2)
	s.call("/push?cname=a&content=x")
	for origin, c := range polls {
		credentials := ""
		if origin != "*" {
			credentials = "true"
		}
		wantFields(t, origin, c.reply().header, "Access-Control-Allow-Origin", origin, "Access-Control-Allow-Credentials", credentials,
			"Cross-Origin-Resource-Policy", "cross-origin", "Vary", "Origin")
	}
}

// TestFrontPreflight: an allowed origin may send the fields that it asks for.
func TestFrontPreflight(t *testing.T) {
	t.Parallel()
	const asked = "authorization, traceparent,baggage, x-My_Own"
	s := startServer(t, withSettings(t, "front.allow_origins=https://page.example"))
	for _, path := range []string{"/poll", "/sub", "/stream", "/sse", "/iframe", "/ping", "/icomet.js", "*"} {
		for origin, allowed := range map[string]bool{"https://page.example": true, "https://other.example": false} {
			resp := ask(t, s.front, "OPTIONS "+path, "Origin: "+origin, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: "+asked)
			want := []string{"Access-Control-Allow-Headers", "", "Access-Control-Allow-Methods", "", "Access-Control-Allow-Credentials", ""}
			if allowed {
				methods := "GET, HEAD, OPTIONS"
				if slices.Contains(transports, path[1:]) {
					methods = "GET, HEAD, POST, OPTIONS"
				}
				want = []string{"Access-Control-Allow-Headers", asked, "Access-Control-Allow-Methods", methods, "Access-Control-Allow-Credentials", "true"}
			}
			if resp.StatusCode != 204 {
				t.Errorf("%s: %s", path, resp.Status)
			}
			wantFields(t, path+" of "+origin, resp.Header, want...)
		}
	}
	// What is no list of names is not repeated.
	h := ask(t, s.front, "OPTIONS /sse", "Origin: https://page.example", "Access-Control-Request-Headers: a<b>").Header
	if got := h.Get("Access-Control-Allow-Headers"); strings.Contains(got, "<") || !strings.Contains(got, "Authorization") {
		t.Errorf("got %q", got)
	}
}

// TestBearerIsToken: on the front port Authorization does what the parameter does, on every
// transport; the parameter wins.
func TestBearerIsToken(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.auth=token"))
	_, token, _ := strings.Cut(s.call("/sign?cname=a"), `"token":"`)
	token, _, _ = strings.Cut(token, `"`)
	for _, transport := range transports {
		for _, tc := range []struct {
			query, field string
			opens        bool
		}{
			{"", "Bearer " + token, true},
			{"", "bearer " + token, true},
			{"&token=", "Bearer " + token, true},
			{"&token=" + token, "Bearer wrong", true},
			{"&token=wrong", "Bearer " + token, false},
			{"", "Bearer wrong", false},
			{"", "Basic " + token, false},
			{"", token, false},
			{"", "Bearer", false},
		} {
			c := dial(t, s.front)
			c.sendf("GET /%s?cname=a%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: %s\r\n\r\n", transport, tc.query, tc.field)
			c.until(map[bool]string{true: `"type":"next_seq","cname":"a"`, false: `"type":"401","cname":"a"`}[tc.opens])
			c.Close()
		}
	}
}

// TestBearerIsJWT: the same with JSON Web Tokens.
func TestBearerIsJWT(t *testing.T) {
	t.Parallel()
	k := newSigners(t)["HS256"]
	s := startServer(t, withSettings(t, "front.auth=jwt", "front.jwt_keys="+k.file))
	good := k.sign(t, map[string]any{"channel": "a", "exp": inAnHour()})
	for _, tc := range []struct{ query, field, want string }{
		{"", good, "next_seq"}, {"&token=" + good, "x", "next_seq"}, {"&token=x", good, "401"}, {"", good + "x", "401"},
	} {
		c := dial(t, s.front)
		c.sendf("GET /sub?cname=a%s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n", tc.query, tc.field)
		if r := c.reply(); !strings.Contains(r.body, `"type":"`+tc.want+`"`) {
			t.Errorf("%q %q: %q", tc.query, tc.field, r.body)
		}
	}
}

// TestAdminPreflight: a page of an allowed origin may ask, without the key, whether it may
// call, and may read the answer of its call, for which it needs the key.
func TestAdminPreflight(t *testing.T) {
	t.Parallel()
	const desk = "Origin: https://desk.example"
	s := startServer(t, withSettings(t, "admin.keys=k", "admin.allow_origins=https://desk.example"))
	asks := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type,traceparent"}
	for path, methods := range map[string]string{"/push": "GET, POST", "/info": "GET, HEAD, POST", "/close": "GET, POST",
		"/metrics": "GET, HEAD", "/dashboard/config": "GET, HEAD", "/dashboard/feed": "GET", "/psub": "GET, POST"} {
		resp := ask(t, s.admin, "OPTIONS "+path, append(asks, desk)...)
		if resp.StatusCode != 204 {
			t.Errorf("%s: %s", path, resp.Status)
		}
		wantFields(t, path, resp.Header, "Access-Control-Allow-Origin", "https://desk.example", "Vary", "Origin",
			"Access-Control-Allow-Methods", methods, "Access-Control-Allow-Headers", "authorization,content-type,traceparent")
	}
	for _, line := range []string{"GET /push?cname=a&content=", "GET /info", "GET /check?cname=a", "GET /close?cname=none", "GET /sign",
		"GET /metrics", "GET /stats", "GET /dashboard/config", "GET /dashboard/channels", "GET /psub", "GET /", "GET /nothing", "GET /broadcast?content="} {
		wantFields(t, line, ask(t, s.admin, line, desk, "Authorization: Bearer k").Header, "Access-Control-Allow-Origin", "https://desk.example")
		if resp := ask(t, s.admin, line, desk); line != "GET /" {
			if resp.StatusCode != 401 {
				t.Errorf("%s without the key: %s", line, resp.Status)
			}
			wantFields(t, line, resp.Header, "Access-Control-Allow-Origin", "https://desk.example") // so that the page can tell why
		}
	}
	for _, tc := range []struct {
		fields []string
		status int
	}{
		{append(asks, "Origin: https://evil.example"), 403},
		{append(asks, "Origin: https://desk.example.evil.example"), 403},
		{[]string{desk}, 401}, // is no preflight
		{asks, 204},           // no page is behind it: nothing is allowed
	} {
		resp := ask(t, s.admin, "OPTIONS /push", tc.fields...)
		allow := ""
		if tc.status == 401 {
			allow = "https://desk.example"
		}
		if resp.StatusCode != tc.status {
			t.Errorf("%q: %s", tc.fields, resp.Status)
		}
		wantFields(t, fmt.Sprint(tc.fields), resp.Header, "Access-Control-Allow-Origin", allow, "Access-Control-Allow-Headers", "")
	}
	// A page of the same host may call, as before, but the answer is not for it to read.
	wantFields(t, "same host", ask(t, s.admin, "GET /info", "Origin: http://127.0.0.1:3000", "Authorization: Bearer k").Header, "Access-Control-Allow-Origin", "")
}
