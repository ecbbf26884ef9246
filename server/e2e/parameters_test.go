package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"icomet/server/wire"
)

// parameters are requests for /push, CH standing for a channel of the case's own.
var parameters = []struct {
	how, query, body string // how: GET, or the Content-Type of a POST
	want             string // the content stored there, encoded; or a status and a word
}{
	{"GET", "cname=CH&content=a+b%2Bc%26", "", "a b+c&"},
	{"GET", "cname=CH&content=a&content=b&cname=x", "", "a"},
	{"GET", "cname=CH&content=&content=b", "", ""},
	{"GET", "&&cname=CH&&content=a&", "", "a"},
	{"GET", "cname=CH&content", "", ""},
	{"GET", "cname=CH&content=a=b", "", "a=b"},
	{"GET", "c%6eame=CH&%63ontent=a", "", "a"},
	{"GET", "cname=CH&content=a&unknown=1&x%00", "", "400 NUL"},
	{"GET", "cname=CH&content=a&unknown=%", "", "400 %"},
	{"GET", "cname=CH&content=%1", "", "400 %"},
	{"GET", "cname=CH&content=%g0", "", "400 %"},
	{"GET", "cname=CH&content=%0g", "", "400 %"},
	{"GET", "cname=CH&content=a%00b", "", "400 NUL"},
	{"GET", "cname=CH&content=a&Content=b&CNAME=x&foo=bar", "", "a"},
	{"GET", "cname=CH&content=%e4%bd%a0%F0%9F%98%80", "", "你😀"},
	{formBody, "", "cname=CH&content=a+b%2B", "a b+"},
	{formBody, "cname=x&content=q", "cname=CH&content=b", "b"},
	{formBody, "cname=CH&content=q", "content=", ""},
	{formBody, "cname=CH&content=q", "", "q"},
	{formBody, "cname=CH", "content=a&content=b", "a"},
	{formBody, "cname=CH", "content=a\r\nb", `a\r\nb`},
	{formBody, "cname=CH", "content=a\x00b", "400 NUL"},
	{formBody, "cname=CH", "content=%", "400 %"},
	{"", "cname=CH", "content=a", "a"},
	{formBody + "; charset=UTF-8", "cname=CH", "content=%c3%a4", "ä"},
	{formBody + "; charset=iso-8859-1", "cname=CH", "content=a", "a"},
	{js, "", `{"cname":"CH","content":"a"}`, "a"},
	{"application/JSON ; charset=utf-8", "", ` { "cname" : "CH" , "content" : "a+%41" } `, "a+%41"},
	{js, "cname=x&content=q", `{"cname":"CH","content":"a"}`, "a"},
	{js, "cname=CH&content=q", `{}`, "q"},
	{js, "cname=CH&content=q", `{"content":""}`, ""},
	{js, "cname=CH", `{"content":-1.50e+3}`, "-1.50e+3"},
	{js, "cname=CH", `{"content":"a","content":"b"}`, "a"},
	{js, "cname=CH", `{"c\u006fntent":"\"\\\/\b\n\u00e4\ud83d\ude00"}`, `\"\\/\u0008\nä😀`},
	{js, "cname=CH", `{"content":"a","unknown":12,"other":"x"}`, "a"},
	{js, "cname=CH", `{"content":"a","unknown":true}`, "400 JSON"},
	{js, "cname=CH", "\ufeff" + `{"content":"a"}`, "a"},
	{"application/vnd.x+json", "cname=CH", `{"content":"a"}`, "a"},
	{js, "cname=CH", `{"content":null}`, "400 JSON"},
	{js, "cname=CH", `{"content":false}`, "400 JSON"},
	{js, "cname=CH", `{"content":["a"]}`, "400 JSON"},
	{js, "cname=CH", `{"content":{"a":"b"}}`, "400 JSON"},
	{js, "cname=CH", `["a"]`, "400 JSON"},
	{js, "cname=CH", `"a"`, "400 JSON"},
	{js, "cname=CH", `content=a`, "400 JSON"},
	{js, "cname=CH", `{"content":"a"} x`, "400 JSON"},
	{js, "cname=CH", `{"content":"a",}`, "400 JSON"},
	{js, "cname=CH", `{"content":"a`, "400 JSON"},
	{js, "cname=CH", `{"content":"\u0000"}`, "400 NUL"},
	{js, "cname=CH", `{"content":01}`, "400 JSON"},
}

const js = "application/json"

// TestParameters: where the parameters of a call come from, and which one counts.
func TestParameters(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.admin)
	front := dial(t, s.front)
	for i, tc := range parameters {
		name := "p" + strconv.Itoa(i)
		query, body := strings.ReplaceAll(tc.query, "CH", name), strings.ReplaceAll(tc.body, "CH", name)
		about := fmt.Sprintf("%q ?%s %q", tc.how, query, body)
		if tc.how == "GET" {
			c.get("/push?" + query)
		} else {
			c.sendf("%s", post("/push?"+query, tc.how, body))
		}
		r := c.reply()
		stored := front.get("/sub?cname=" + name + "&seq=1&noop=0")
		if word, bad := strings.CutPrefix(tc.want, "400 "); bad {
			if r.status != 400 || !strings.Contains(r.body, word) || r.close {
				t.Errorf("%s: got %d %q %v, want %s", about, r.status, r.body, r.close, tc.want)
			}
			// Nothing was stored: the poll waits until the channel is closed.
			checkFor(t, patience, func() error { return s.hasSubscribers(name, 1) })
			s.call("/close?cname=" + name)
			stored.wantReply(200, `{"type":"close","cname":"`+name+`","seq":1,"content":""}`+"\n")
			continue
		}
		if r.status != 200 {
			t.Errorf("%s: %d %q", about, r.status, r.body)
			s.call("/push?cname=" + name + "&content=") // let the poll go on
		}
		got := stored.reply().body
		if want := `[{"type":"data","cname":"` + name + `","seq":1,"content":"` + tc.want + `"}]` + "\n"; got != want {
			t.Errorf("%s: stored %s, want %s", about, got, want)
		}
	}
}

// hasSubscribers is for checkFor: a subscriber's request has no answer to wait for.
func (s *testServer) hasSubscribers(name string, n int) error {
	if got := s.hub.ChannelSubscribers([]byte(name)); got != n {
		return fmt.Errorf("%s has %d subscribers, not %d", name, got, n)
	}
	return nil
}

// TestParametersOfOtherCalls: POST parameters work on each admin call, and a GET's
// body is no source of them.
func TestParametersOfOtherCalls(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.admin)
	s.call("/push?cname=a&content=x")
	for _, tc := range []struct{ path, contentType, body, want string }{
		{"/info?cname=z", formBody, "cname=a", "{\"cname\": \"a\", \"subscribers\": 0}\n"},
		{"/check", "application/json", `{"cname":"a","cb":"f"}`, "f({\"a\": 1});\n"},
		{"/clear", formBody, "cname=a", "ok 2\n"},
		{"/broadcast", formBody, "content=a", "ok\n"},
		{"/close", "application/json", `{"cname":"a"}`, "ok 3\n"},
	} {
		c.sendf("%s", post(tc.path, tc.contentType, tc.body))
		c.wantReply(200, tc.want)
	}
	c.sendf("%s", post("/sign", "application/json", `{"cname":"a","expires":77}`))
	if r := c.reply(); r.status != 200 || !strings.Contains(r.body, `"expires":77,`) {
		t.Errorf("sign: %d %q", r.status, r.body)
	}
	c.sendf("%s", strings.Replace(post("/push", formBody, "cname=a&content=x"), "POST", "GET", 1))
	c.wantError(400, "cname", false)
	c.get("/info").wantReply(200, `{"version": "`+wire.Version+`", "channels": 1, "subscribers": 0}`+"\n")
}

// names are what a channel may be called, and what not.
var names = []struct {
	query string
	bad   string // a word of the error; "" for a good name
}{
	{"a", ""},
	{strings.Repeat("n", 255), ""},
	{strings.Repeat("%C3%A4", 127) + "x", ""},
	{"%20", ""},
	{"%01%7f%22%5C%3C", ""},
	{strings.Repeat("n", 256), "255"},
	{strings.Repeat("%C3%A4", 128), "255"},
	{"", "cname"},
	{"%ff", "UTF-8"},
	{"a%C3", "UTF-8"},
	{"%ED%A0%80", "UTF-8"},
	{"%C0%AF", "UTF-8"},
}

// TestChannelNames: the same rule on every call of both ports.
func TestChannelNames(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	front, admin := dial(t, s.front), dial(t, s.admin)
	for _, n := range names {
		for _, call := range []string{"/push?content=x&cname=", "/pub?content=x&cname=", "/sign?cname=", "/check?cname=",
			"/info?cname=", "/clear?cname=", "/poll?cname=", "/sub?cname=", "/close?cname="} {
			c := admin
			if call == "/poll?cname=" || call == "/sub?cname=" {
				c = front
			}
			if n.query == "" && call == "/info?cname=" {
				continue // needs none
			}
			c.get(call + n.query)
			if n.bad != "" {
				c.wantError(400, n.bad, false)
			} else if r := c.reply(); r.status != 200 {
				t.Errorf("%s%s: %d %q", call, n.query, r.status, r.body)
			}
		}
		if n.bad != "" {
			for _, open := range []string{"/stream", "/sse", "/iframe"} {
				front.get(open+"?cname="+n.query).wantError(400, n.bad, false)
			}
		}
	}
	for _, call := range []string{"/push?content=x", "/pub?content=x", "/sign", "/check", "/clear", "/close"} {
		admin.get(call).wantError(400, "cname", false)
	}
	if got := s.hub.Channels(); got != 0 {
		t.Errorf("%d channels are left", got)
	}
}
