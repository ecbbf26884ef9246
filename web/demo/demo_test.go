package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"icomet/client"
	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

func TestMain(m *testing.M) { servertest.Main(m, browser.Stop) }

// startChat runs the application with a push server that requires tokens.
func startChat(t *testing.T) (chat *httptest.Server, s *servertest.Server) {
	t.Helper()
	chat, s, _ = startGuardedChat(t)
	return chat, s
}

// startGuardedChat also returns the application's guard.
func startGuardedChat(t *testing.T) (chat *httptest.Server, s *servertest.Server, g *guard) {
	t.Helper()
	s = servertest.Start(t, "ICOMET_FRONT_AUTH=token", "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=50", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	front, err := url.Parse(s.Front)
	if err != nil {
		t.Fatal(err)
	}
	app := newApp(front, &client.Admin{URL: s.Admin})
	chat = httptest.NewServer(app.handler())
	t.Cleanup(chat.Close)
	return chat, s, app.guard
}

// join fills in the form, by keyboard only.
func join(p *browser.Page, name, room string) {
	p.Want("document.activeElement.id", `"name"`)
	p.Type(name)
	p.Press("Tab")
	p.Want("document.activeElement.id", `"room"`)
	p.Fill(room)
	p.Press("Enter")
	p.Want("document.activeElement.id", `"text"`)
	p.Want("document.getElementById('state').dataset.state", `"open"`)
}

// say types a message where the cursor is: the page keeps it in the field.
func say(p *browser.Page, text string) {
	p.Want("document.activeElement.id", `"text"`)
	p.Type(text)
	p.Press("Enter")
}

// paste sends a text that is too long to type.
func paste(p *browser.Page, text string) {
	p.Click("document.getElementById('text')")
	browser.Call(p, input.InsertText, input.InsertTextParams{Text: text})
	p.Press("Enter")
}

// bubbles are the messages that a page shows, except the pending ones.
const bubbles = "[...document.querySelectorAll('.msg:not(.pending) .bubble')].map(b => b.textContent)"

func TestChat(t *testing.T) {
	chat, s := startChat(t)
	one, two := browser.Start(t), browser.Start(t) // two people have two browsers
	ada := one.Open(t, chat.URL)
	join(ada, "Ada", "lobby")
	say(ada, "Is anybody here?")
	ada.Want(bubbles, `["Is anybody here?"]`)

	bob := two.Open(t, chat.URL+"/?room=lobby")
	join(bob, "Bob", "lobby")
	bob.Want(bubbles, `["Is anybody here?"]`)
	s.WaitSubscribers("chat-lobby", 2)
	const markup = `<img src=x onerror="document.title='hacked'"> </script> & "quotes"`
	say(bob, markup)
	say(bob, "see https://example.com/a?b=1 there")
	want, err := json.Marshal([]string{"Is anybody here?", markup, "see https://example.com/a?b=1 there"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*browser.Page{ada, bob} {
		p.Want(bubbles, string(want))
		p.Want("document.title", `"#lobby · iComet chat"`)
		p.Want("document.querySelectorAll('.pending, .failed').length", "0")
		p.Want("[...document.querySelectorAll('.bubble a')].map(a => a.href)", `["https://example.com/a?b=1"]`)
		p.Want("[...document.querySelectorAll('.note')].map(n => n.textContent)[1] !== undefined", "true")
		p.Want("document.getElementById('people').textContent", `"2 connections"`)
	}
	ada.Want("[...document.querySelectorAll('.msg')].map(m => m.classList.contains('mine'))", "[true,false,false]")
	bob.Want("[...document.querySelectorAll('.msg')].map(m => m.classList.contains('mine'))", "[false,true,true]")

	// A second window of a browser can be another person, with a connection of its own.
	cleo := one.Open(t, chat.URL)
	join(cleo, "Cleo", "lobby")
	say(cleo, "me too")
	say(ada, "still Ada")
	bob.Want("[...document.querySelectorAll('.msg .who b')].slice(-2).map(b => b.textContent)", `["Cleo","Ada"]`)
	s.WaitSubscribers("chat-lobby", 3)
	for _, p := range []*browser.Page{ada, bob, cleo} {
		p.WantNoMistakes()
	}
	bob.Click("document.getElementById('leave')")
	bob.Want("document.activeElement.id", `"name"`)
	s.WaitSubscribers("chat-lobby", 2)
}

func TestChatSaysWhatFails(t *testing.T) {
	chat, s, guard := startGuardedChat(t)
	p := browser.Start(t).Open(t, chat.URL)
	join(p, "Ada", "lobby")
	guard.mu.Lock() // as if she had sent too many: on a slow machine, typing is slower than the limit
	for _, l := range guard.limiters {
		l.SetBurst(0)
	}
	guard.mu.Unlock()
	say(p, "one more")
	p.Want("document.getElementById('toast').textContent", `"Not so fast, please."`)
	p.Want("document.querySelectorAll('.failed').length", "1")
	s.Kill()
	p.Want("document.getElementById('state-text').textContent", `"Reconnecting"`)
	s.Restart()
	p.Want("document.getElementById('state-text').textContent", `"Live"`)
}

// TestChatFits: nothing is wider than the page, also on a small phone. It makes
// screenshots to look at.
func TestChatFits(t *testing.T) {
	chat, _ := startChat(t)
	b, other := browser.Start(t), browser.Start(t)
	shots := os.Getenv("CHAT_SCREENSHOTS") // a directory in which to keep them
	if shots == "" {
		shots = t.TempDir()
	}
	for _, view := range []struct {
		name          string
		width, height int64
		scheme, room  string
	}{
		{"wide-light", 1000, 620, "light", "launch"}, {"wide-dark", 1000, 620, "dark", "design"},
		{"narrow-light", 360, 700, "light", "kitchen"}, {"narrow-dark", 360, 700, "dark", "travel"},
	} {
		p := b.Open(t, chat.URL, chromedp.EmulateViewport(view.width, view.height, chromedp.EmulateScale(1)))
		browser.Call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: view.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			},
		})
		fits := "document.documentElement.scrollWidth <= innerWidth"
		p.Want(fits, "true")
		p.Screenshot(filepath.Join(shots, "welcome-"+view.name+".png"))
		grace := other.Open(t, chat.URL)
		converse(grace, p, view.room)
		p.Want("document.getElementById('people').textContent", `"2 connections"`)
		p.Screenshot(filepath.Join(shots, "chat-"+view.name+".png"))
		paste(grace, "https://example.com/logs/"+strings.Repeat("a-very-long-name", 20))
		p.Want(bubbles+".length", "6")
		p.Want(fits, "true")
		p.Want("document.getElementById('scroll').scrollWidth <= document.getElementById('scroll').clientWidth", "true")
		p.Want("document.querySelector('.log').lastChild.getBoundingClientRect().bottom <= document.getElementById('send').getBoundingClientRect().top", "true")
		p.Want("getComputedStyle(document.body).backgroundColor === 'rgb(15, 19, 26)'", fmt.Sprint(view.scheme == "dark"))
		p.WantNoMistakes()
		p.Close()
	}
}

// converse lets two people talk. The second page is the one for the screenshot.
func converse(grace, ada *browser.Page, room string) {
	join(grace, "Grace Hopper", room)
	say(grace, "Good morning! The new build is out: https://example.com/builds/42")
	say(grace, "Can somebody try it on a phone?")
	join(ada, "Ada Lovelace", room)
	for _, text := range []string{"On it.", "Went through a tunnel: it came back by itself and nothing was missing."} {
		say(ada, text)
	}
	ada.Want(bubbles+".length", "4")
	say(grace, "Then let us ship it.")
	ada.Want(bubbles+".length", "5")
	ada.Want("document.getElementById('text').value", `""`)
}

// visitor is a browser without a page: it only keeps cookies.
type visitor struct {
	t   *testing.T
	url string
	c   *http.Client
	who string
}

func newVisitor(t *testing.T, chat *httptest.Server) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, url: chat.URL, c: &http.Client{Jar: jar, Transport: chat.Client().Transport}}
}

func (v *visitor) post(path string, pairs ...string) (int, string) {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return v.do("POST", path, form, "")
}

func (v *visitor) do(method, path string, form url.Values, site string) (int, string) {
	v.t.Helper()
	req, err := http.NewRequest(method, v.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if site != "" {
		req.Header.Set("Sec-Fetch-Site", site)
	}
	resp, err := v.c.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, string(bytes.TrimSpace(b))
}

func (v *visitor) join(name string) {
	v.t.Helper()
	status, body := v.post("/join", "name", name, "room", "lobby")
	var me struct{ ID, Name string }
	if err := json.Unmarshal([]byte(body), &me); err != nil || status != 200 || me.ID == "" {
		v.t.Fatalf("join: %d %s", status, body)
	}
	v.who = me.ID
}

// TestGuard: nobody can sign or publish without a session, in a channel that is not a
// room, in another's name, from another site, too long or too fast.
func TestGuard(t *testing.T) {
	t.Parallel()
	chat, s := startChat(t)
	ada, eve := newVisitor(t, chat), newVisitor(t, chat)
	ada.join("Ada")
	eve.join("  Eve\u202e \x07 " + strings.Repeat("e", 50))
	stranger := newVisitor(t, chat)
	for _, c := range []struct {
		name   string
		by     *visitor
		method string
		path   string
		form   url.Values
		site   string
		want   int
	}{
		{"sign", ada, "GET", "/sign?cname=lobby&who=" + ada.who, nil, "same-origin", 200},
		{"sign without a session", stranger, "GET", "/sign?cname=lobby", nil, "", 403},
		{"sign as another", eve, "GET", "/sign?cname=lobby&who=" + ada.who, nil, "", 403},
		{"sign another part's channel", ada, "GET", "/sign?cname=../secret&who=" + ada.who, nil, "", 403},
		{"people", ada, "GET", "/people?cname=chat-lobby&who=" + ada.who, nil, "", 200},
		{"people without a session", stranger, "GET", "/people?cname=lobby", nil, "", 403},
		{"pub", ada, "POST", "/pub?who=" + ada.who, url.Values{"cname": {"chat-lobby"}, "content": {"hi"}}, "same-origin", 200},
		{"pub without a session", stranger, "POST", "/pub", url.Values{"cname": {"lobby"}, "content": {"hi"}}, "", 403},
		{"pub as another", eve, "POST", "/pub?who=" + ada.who, url.Values{"cname": {"lobby"}, "content": {"hi"}}, "", 403},
		{"pub from another site", ada, "POST", "/pub?who=" + ada.who, url.Values{"cname": {"lobby"}, "content": {"hi"}}, "cross-site", 403},
		{"pub nothing", ada, "POST", "/pub?who=" + ada.who, url.Values{"cname": {"lobby"}, "content": {" \n "}}, "", 400},
		{"pub too much", ada, "POST", "/pub?who=" + ada.who, url.Values{"cname": {"lobby"}, "content": {strings.Repeat("ü", 1001)}}, "", 400},
		{"pub by GET", ada, "GET", "/pub?who=" + ada.who + "&cname=lobby&content=hi", nil, "", 404},
		{"join without a name", stranger, "POST", "/join", url.Values{"name": {" \x00 "}, "room": {"lobby"}}, "", 400},
		{"join a strange room", stranger, "POST", "/join", url.Values{"name": {"x"}, "room": {"A room"}}, "", 400},
	} {
		if status, body := c.by.do(c.method, c.path, c.form, c.site); status != c.want {
			t.Errorf("%s: %d %q, want %d", c.name, status, body, c.want)
		}
	}
	statuses := map[int]int{}
	for range 20 {
		status, _ := ada.post("/pub?who="+ada.who, "cname", "lobby", "content", "flood")
		statuses[status]++
	}
	if statuses[200] == 0 || statuses[429] < 10 || len(statuses) != 2 {
		t.Errorf("a flood is answered %v", statuses)
	}
	if status, body := eve.post("/pub?who="+eve.who, "cname", "lobby", "content", "not slowed"); status != 200 {
		t.Errorf("another is slowed: %d %s", status, body)
	}
	s.Kill()
	if status, body := eve.post("/pub?who="+eve.who, "cname", "lobby", "content", "x"); status != 502 || strings.Contains(body, "127.0.0.1") {
		t.Errorf("without a server: %d %s", status, body)
	}
}

// TestNames: others see the name as the application has cleaned it, and a session cannot
// use another name.
func TestNames(t *testing.T) {
	t.Parallel()
	chat, s := startChat(t)
	v := newVisitor(t, chat)
	v.join(" Eve\u202e \x07 " + strings.Repeat("e", 50))
	if status, body := v.post("/pub?who="+v.who, "cname", "lobby", "content", `{"name":"Ada"}`, "name", "Ada"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	admin := client.Admin{URL: s.Admin}
	sub := client.Subscriber{URL: s.Front, Channel: "chat-lobby", Seq: 2}
	signed, err := admin.Sign(t.Context(), "chat-lobby", 0)
	if err != nil {
		t.Fatal(err)
	}
	sub.Token = func(context.Context, int) (string, error) { return signed.Token, nil }
	for m, err := range sub.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		var got said
		if err := json.Unmarshal([]byte(m.Content), &got); err != nil {
			t.Fatal(err)
		}
		if want := "Eve " + strings.Repeat("e", 20); got.Name != want || got.User != v.who || got.Text != `{"name":"Ada"}` {
			t.Errorf("got %+v, want the name %q", got, want)
		}
		break
	}
}

// TestFrontAddress: a loopback address is replaced by the host of the page. An invalid
// Host does not get into the page's policy.
func TestFrontAddress(t *testing.T) {
	t.Parallel()
	loopback, err := url.Parse("http://127.0.0.1:8100/")
	if err != nil {
		t.Fatal(err)
	}
	public, err := url.Parse("https://push.example.com/comet/")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		front      *url.URL
		host, want string
	}{
		{loopback, "10.0.0.5:8080", "http://10.0.0.5:8100"},
		{loopback, "box.local", "http://box.local:8100"},
		{loopback, "[fd00::1]:8080", "http://[fd00::1]:8100"},
		{loopback, "x; script-src *", "http://127.0.0.1:8100"},
		{public, "10.0.0.5:8080", "https://push.example.com/comet"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		if got := (&app{front: c.front}).frontFor(r); got != c.want {
			t.Errorf("%s from %s: %s, want %s", c.front, c.host, got, c.want)
		}
	}
}
