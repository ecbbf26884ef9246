package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"icomet/server/monitor"
	"icomet/server/wire"
)

// TestPubContent: what may stand between the quotes of a JSON string is delivered as
// it is, anything else is refused and leaves nothing behind.
func TestPubContent(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.admin)
	sub := s.open("stream", "cname=a&seq=1")
	seq := int64(0)
	for _, tc := range []struct {
		query string
		want  string // "400" for a refusal
	}{
		{"a", "a"}, {"", ""}, {"%5C%22", `\"`}, {"%5C%5C", `\\`}, {"%5C/", `\/`}, {"/", "/"},
		{"%5Cb%5Cf%5Cn%5Cr%5Ct", `\b\f\n\r\t`}, {"%5Cu00e4%5CuD83D%5CuDE00", `\u00e4\uD83D\uDE00`},
		{"%5Cud800", `\ufffd`}, {"%5Cudc00x", `\ufffdx`}, {"%C3%A4%F0%9F%98%80%7f", "ä😀\x7f"}, {"%E2%80%A8", `\u2028`},
		{"%5Cu0000", `\u0000`}, {"%7B%5C%22a%5C%22:1%7D", `{\"a\":1}`}, {"'%3C/script%3E", "'</script>"},
		{"%22", "400"}, {"a%22,%22seq%22:9,%22x%22:%22", "400"}, {"%5C", "400"}, {"a%5C", "400"}, {"%5C%5C%5C", "400"},
		{"%5Ca", "400"}, {"%5Cx41", "400"}, {"%5Cu12", "400"}, {"%5Cu12g4", "400"}, {"%5CU0041", "400"}, {"%5C'", "400"},
		{"a%0Ab", "400"}, {"%09", "400"}, {"%1f", "400"}, {"%0D", "400"},
		{"%ff", "400"}, {"%C3", "400"}, {"%ED%A0%80", "400"}, {"%C0%AF", "400"}, {"%F4%90%80%80", "400"},
	} {
		c.get("/pub?cname=a&content=" + tc.query)
		if tc.want == "400" {
			c.wantError(400, "content is not the body of a JSON string", false)
			continue
		}
		c.wantReply(200, "{\"type\":\"ok\"}\n")
		seq++
		sub.want("data", "a", seq, tc.want) // and nothing of a refused one before it
	}
	c.get("/pub?cname=new&content=%22").wantError(400, "content", false)
	if got := s.call("/check?cname=new"); got != "{}\n" {
		t.Errorf("a refused publish has created a channel: %q", got)
	}
}

// TestPushContent: every byte but NUL can be pushed and arrives as JSON says.
func TestPushContent(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.admin)
	sub := s.open("stream", "cname=a&seq=1")
	for b := 1; b < 256; b++ {
		c.get(fmt.Sprintf("/push?cname=a&content=%%C3%%A4%%%02x%%C3%%BC", b)).wantReply(200, "{\"type\":\"ok\"}\n")
		raw := string([]byte{byte(b)})
		if b >= 0x80 {
			raw = "\uFFFD"
		}
		var m struct{ Content string }
		line := sub.next()
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Content != "ä"+raw+"ü" {
			t.Errorf("byte %02x: got %q: %v", b, line, err)
		}
	}
	// Each invalid byte becomes one U+FFFD, whatever stands before it.
	c.get("/push?cname=a&content=%ED%A0%80%F0%9F%98").wantReply(200, "{\"type\":\"ok\"}\n")
	sub.want("data", "a", 256, strings.Repeat("\uFFFD", 6))
}

// TestExpiresParameter: what a sign may wait.
func TestExpiresParameter(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.channel_timeout=44", "front.polling_timeout=33"))
	c := dial(t, s.admin)
	for _, tc := range []struct {
		expires string
		want    int64 // seconds; 0 for a refusal
	}{
		{"", 44}, {"expires=0", 44}, {"expires=-1", 44}, {"expires=-9223372036854775808", 44}, {"expires=1", 1},
		{"expires=60", 60}, {"expires=2592000", 2592000},
		{"expires=2592001", 0}, {"expires=9223372036854775807", 0}, {"expires=9223372036854775808", 0},
		{"expires=abc", 0}, {"expires=1.5", 0}, {"expires=60s", 0}, {"expires=+60", 0},
	} {
		c.get("/sign?cname=a&" + tc.expires)
		if tc.want == 0 {
			c.wantError(400, "expires", false)
			continue
		}
		r := c.reply()
		var got struct {
			Type, Cname, Token string
			Seq, Expires       int64
			SubTimeout         int64 `json:"sub_timeout"`
		}
		if err := json.Unmarshal([]byte(r.body), &got); err != nil {
			t.Fatalf("%q: %v", r.body, err)
		}
		if got.Type != "sign" || got.Cname != "a" || got.Seq != 1 || got.Expires != tc.want || got.SubTimeout != 33 || !tokenForm.MatchString(got.Token) {
			t.Errorf("%s: got %q", tc.expires, r.body)
		}
	}
}

// TestTokens: one a channel while it lives, another for its successor, all different.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.auth=token"))
	token := func(name string) string {
		var got struct{ Token string }
		if err := json.Unmarshal([]byte(s.call("/sign?cname="+name)), &got); err != nil || !tokenForm.MatchString(got.Token) {
			t.Fatalf("%q: %v", got.Token, err)
		}
		return got.Token
	}
	seen := map[string]bool{}
	for i := range 200 {
		tk := token(fmt.Sprint("c", i))
		if seen[tk] {
			t.Errorf("%s comes twice", tk)
		}
		seen[tk] = true
	}
	first := token("a")
	s.call("/push?cname=a&content=x")
	s.call("/clear?cname=a")
	if again := token("a"); again != first {
		t.Errorf("another token while the channel lives")
	}
	front := dial(t, s.front)
	const denied = `{"type":"401","cname":"a","seq":0,"content":"Token error"}` + "\n"
	front.get("/sub?cname=a&token="+first).wantReply(200, messageText("next_seq", "a", 2, "")+"\n")
	for _, wrong := range []string{"", first[:31], first + "0", strings.ToUpper(first) + "x", token("c0")} {
		front.get("/sub?cname=a&token="+wrong).wantReply(200, denied)
	}
	s.call("/close?cname=a")
	if second := token("a"); second == first {
		t.Error("the next channel of the name has the old token")
	}
	front.get("/sub?cname=a&token="+first).wantReply(200, denied)
	// One that was never signed has no token, so that no token fits.
	s.call("/push?cname=unsigned&content=x")
	front.get("/sub?cname=unsigned&token=").wantReply(200, strings.Replace(denied, `"a"`, `"unsigned"`, 1))
}

// TestRefusedSubscriberLeavesNoTrace: with auth = "token" nobody creates a channel.
func TestRefusedSubscriberLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.auth=token"))
	for _, transport := range transports {
		s.open(transport, "cname=u&seq=1").want("401", "u", 0, "Token error")
	}
	if got, want := s.call("/info"), `{"version": "`+wire.Version+`", "channels": 0, "subscribers": 0}`+"\n"; got != want {
		t.Errorf("got %q", got)
	}
}

// TestAdminAddresses: deny wins over allow, and both are about the admin port.
func TestAdminAddresses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		set     []string
		refused bool
	}{
		{[]string{"admin.allow=all"}, false},
		{[]string{"admin.allow=127.0.0.1"}, false},
		{[]string{"admin.allow=127.0.0.2"}, true},
		{[]string{"admin.allow=all", "admin.deny=127.0.0.0/8"}, true},
		{[]string{"admin.allow=all", "admin.deny=::/0"}, false},
	} {
		t.Run(strings.Join(tc.set, " "), func(t *testing.T) {
			s := startServer(t, withSettings(t, tc.set...))
			c := dial(t, s.admin).get("/info")
			if tc.refused {
				c.wantError(403, "address", true)
			} else if r := c.reply(); r.status != 200 {
				t.Errorf("%d %q", r.status, r.body)
			}
			s.open("sub", "cname=a").want("next_seq", "a", 1, "")
		})
	}
}

// TestStats: strict JSON that counts what has happened.
func TestStats(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.open("stream", "cname=a&seq=1")
	s.open("sse", "cname=a&seq=1")
	s.call("/push?cname=a&content=x")
	dial(t, s.front).get("/nothing").wantError(404, "path", false)
	var got monitor.Report
	dec := json.NewDecoder(strings.NewReader(s.call("/stats")))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Version != wire.Version || got.Channels != 1 || got.Subscribers != 2 || got.Publishes != 1 || got.Draining ||
		got.Connections.ByKind["stream"] != 1 || got.Connections.ByKind["sse"] != 1 || got.Refused["http_404"] != 1 || got.Runtime.RSS == 0 {
		t.Errorf("got %+v", got)
	}
}
