package main

import (
	"crypto/rand"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"icomet/client"
)

//go:embed static
var static embed.FS

var page = template.Must(template.ParseFS(static, "static/index.html"))

// maxBody bounds what a request may send, in bytes.
const maxBody = 16 << 10

// app is the chat's application server.
type app struct {
	front *url.URL
	admin *client.Admin
	guard *guard
}

// said is the content of a message: who it is from is the application's word, not
// the browser's.
type said struct {
	Kind string `json:"kind"` // text | join
	ID   string `json:"id"`
	User string `json:"user"` // the session's
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	At   int64  `json:"at"` // ms since 1970
}

func newApp(front *url.URL, admin *client.Admin) *app {
	return &app{front: front, admin: admin, guard: newGuard()}
}

func (a *app) handler() http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.page)
	mux.HandleFunc("POST /join", a.join)
	mux.HandleFunc("GET /sign", a.sign)
	mux.HandleFunc("POST /pub", a.pub)
	mux.HandleFunc("GET /people", a.people)
	mux.Handle("GET /", http.FileServerFS(files))
	// Requests that another site's page makes a browser send are refused.
	return http.NewCrossOriginProtection().Handler(mux)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]+$`)

// frontFor is the front port as the page's browser reaches it.
func (a *app) frontFor(r *http.Request) string {
	u := *a.front
	host := r.Host
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		host = h
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() && hostName.MatchString(host) {
		u.Host = net.JoinHostPort(strings.Trim(host, "[]"), u.Port())
	}
	return strings.TrimSuffix(u.String(), "/")
}

func (a *app) page(w http.ResponseWriter, r *http.Request) {
	front := a.frontFor(r)
	h := w.Header()
	h.Set("Content-Security-Policy", fmt.Sprintf(
		"default-src 'self'; script-src 'self' %s; connect-src 'self' %s; base-uri 'none'; form-action 'self'; frame-ancestors 'none'", front, front))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if err := page.Execute(w, map[string]any{"Front": front, "MaxName": maxName, "MaxText": maxText}); err != nil {
		log.Print("page: ", err)
	}
}

// join gives a session, and tells the room.
func (a *app) join(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	channel, ok := channelOf(r.FormValue("room"))
	if !ok {
		refuse(w, 400, "A room is called by small letters, digits and dashes, at most 32.")
		return
	}
	name := cleanName(r.FormValue("name"))
	if name == "" {
		refuse(w, 400, "Please say your name.")
		return
	}
	who, err := a.guard.session(r)
	if err != nil || who.Name != name {
		if who, err = a.guard.begin(w, name); err != nil {
			a.failed(w, err)
			return
		}
	}
	if a.guard.allow(who) { // coming and going all the time does not fill the room
		if err := a.publish(r, channel, said{Kind: "join", User: who.ID, Name: who.Name}); err != nil {
			a.failed(w, err)
			return
		}
	}
	answer(w, map[string]string{"id": who.ID, "name": who.Name})
}

// sign gives a room's token to who has joined. It answers what the admin port's
// /sign answers, which is what icomet.js expects of signUrl.
func (a *app) sign(w http.ResponseWriter, r *http.Request) {
	channel, ok := channelOf(r.FormValue("cname"))
	if _, err := a.guard.session(r); err != nil || !ok {
		refuse(w, 403, "Join first.")
		return
	}
	s, err := a.admin.Sign(r.Context(), channel, time.Minute)
	if err != nil {
		a.failed(w, err)
		return
	}
	answer(w, map[string]any{
		"type": "sign", "cname": s.Channel, "token": s.Token, "seq": s.Seq,
		"expires": s.Expires.Seconds(), "sub_timeout": s.Silence.Seconds(),
	})
}

// pub publishes for who has joined, within bounds, and in their own name only.
func (a *app) pub(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	who, err := a.guard.session(r)
	channel, ok := channelOf(r.PostFormValue("cname"))
	text := strings.TrimSpace(r.PostFormValue("content"))
	switch {
	case err != nil || !ok:
		refuse(w, 403, "Join first.")
	case text == "" || !utf8.ValidString(text):
		refuse(w, 400, "There is nothing to send.")
	case utf8.RuneCountInString(text) > maxText:
		refuse(w, 400, fmt.Sprintf("A message has at most %d characters.", maxText))
	case !a.guard.allow(who):
		refuse(w, 429, "Not so fast, please.")
	default:
		if err := a.publish(r, channel, said{Kind: "text", User: who.ID, Name: who.Name, Text: text}); err != nil {
			a.failed(w, err)
			return
		}
		answer(w, map[string]string{"type": "ok"})
	}
}

func (a *app) publish(r *http.Request, channel string, s said) error {
	s.ID, s.At = rand.Text(), time.Now().UnixMilli()
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return a.admin.Push(r.Context(), channel, string(content))
}

// people says how many connections a room has.
func (a *app) people(w http.ResponseWriter, r *http.Request) {
	channel, ok := channelOf(r.FormValue("cname"))
	if _, err := a.guard.session(r); err != nil || !ok {
		refuse(w, 403, "Join first.")
		return
	}
	n, err := a.admin.Subscribers(r.Context(), channel)
	if err != nil {
		a.failed(w, err)
		return
	}
	answer(w, map[string]int64{"people": n})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Print("answer: ", err)
	}
}

// refuse answers a sentence that is shown to the user.
func refuse(w http.ResponseWriter, status int, sentence string) {
	http.Error(w, sentence, status)
}

// failed is for what is not the user's mistake; the log has the details.
func (a *app) failed(w http.ResponseWriter, err error) {
	log.Print("push server: ", err)
	refuse(w, 502, "The push server does not answer.")
}
