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

// app is the application server of the chat.
type app struct {
	front *url.URL
	admin *client.Admin
	guard *guard
}

// said is the content of a message. The application fills in who it is from; the browser
// cannot choose that.
type said struct {
	Kind string `json:"kind"` // text | join
	ID   string `json:"id"`
	User string `json:"user"` // of the session
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
	// Requests that a page of another site makes a browser send are refused.
	return http.NewCrossOriginProtection().Handler(mux)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]+$`)

// frontFor is the front port's address as the browser of the page can reach it.
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
	socket := strings.Replace(front, "http", "ws", 1) // a policy does not count a WebSocket among http
	h.Set("Content-Security-Policy", fmt.Sprintf(
		"default-src 'self'; script-src 'self' %s; connect-src 'self' %s %s; base-uri 'none'; form-action 'self'; frame-ancestors 'none'", front, front, socket))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if err := page.Execute(w, map[string]any{"Front": front, "MaxName": maxName, "MaxText": maxText}); err != nil {
		log.Print("page: ", err)
	}
}

// join begins a session, and tells the room.
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
		if who, err = a.guard.begin(w, r, name); err != nil {
			a.failed(w, err)
			return
		}
	}
	if a.guard.allow(who) { // joining again and again must not fill the room
		if err := a.publish(r, channel, said{Kind: "join", User: who.ID, Name: who.Name}); err != nil {
			a.failed(w, err)
			return
		}
	}
	answer(w, map[string]string{"id": who.ID, "name": who.Name})
}

// sign returns a room's token to a session. It passes on the answer of the admin port's
// /sign, which is what icomet.js expects from signUrl.
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

// pub publishes for a session, within limits, and in the session's name only.
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

// people returns the number of connections of a room.
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

// refuse answers with a sentence that the user is shown.
func refuse(w http.ResponseWriter, status int, sentence string) {
	http.Error(w, sentence, status)
}

// failed answers an error that the user has not caused; the log has the details.
func (a *app) failed(w http.ResponseWriter, err error) {
	log.Print("push server: ", err)
	refuse(w, 502, "The push server does not answer.")
}
