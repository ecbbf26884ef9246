package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/time/rate"
)

const (
	// A browser has one cookie for each session, so that its windows can be different
	// people. The parameter "who" selects the session.
	cookiePrefix = "chat-"
	paramWho     = "who"

	sessionLife = 12 * time.Hour
	maxName     = 24   // characters
	maxText     = 1000 // characters

	// A session may send burst messages at once, then one every sendEvery.
	sendEvery = time.Second
	burst     = 5
	// maxLimiters bounds the memory that many sessions can use.
	maxLimiters = 10_000

	// channelPrefix separates the chat's rooms from other channels of an application.
	channelPrefix = "chat-"
)

// roomName is what a room may be called. User input must never become a channel's name
// unchecked: it could name another part of the application.
var roomName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// session is a person in the chat. It is in a cookie that only this application can make.
// A real application would require a login first.
type session struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
}

var errNoSession = errors.New("join first")

// guard makes and checks sessions, and limits what each one sends.
type guard struct {
	key []byte

	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by session
}

func newGuard() *guard {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return &guard{key: key, limiters: map[string]*rate.Limiter{}}
}

func (g *guard) mac(payload string) string {
	h := hmac.New(sha256.New, g.key)
	h.Write([]byte(payload))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// begin gives the browser a session with this name.
func (g *guard) begin(w http.ResponseWriter, r *http.Request, name string) (session, error) {
	s := session{ID: rand.Text()[:12], Name: name, Expires: time.Now().Add(sessionLife)}
	b, err := json.Marshal(s)
	if err != nil {
		return session{}, err
	}
	payload := base64.RawURLEncoding.EncodeToString(b)
	http.SetCookie(w, &http.Cookie{
		Name: cookiePrefix + s.ID, Value: payload + "." + g.mac(payload), Path: "/", Expires: s.Expires,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil, // always, behind a proxy with TLS
	})
	return s, nil
}

// session returns the session that the request selects.
func (g *guard) session(r *http.Request) (session, error) {
	id := r.FormValue(paramWho)
	cookie, err := r.Cookie(cookiePrefix + id)
	if err != nil {
		return session{}, errNoSession
	}
	payload, mac, _ := strings.Cut(cookie.Value, ".")
	if !hmac.Equal([]byte(mac), []byte(g.mac(payload))) {
		return session{}, errNoSession
	}
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return session{}, errNoSession
	}
	var s session
	if err := json.Unmarshal(b, &s); err != nil || s.ID != id || time.Now().After(s.Expires) {
		return session{}, errNoSession
	}
	return s, nil
}

// allow reports whether the session may send one more message now.
func (g *guard) allow(s session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.limiters[s.ID]
	if l == nil {
		if len(g.limiters) >= maxLimiters {
			clear(g.limiters) // every session gets its burst again, which is the price of the bound
		}
		l = rate.NewLimiter(rate.Every(sendEvery), burst)
		g.limiters[s.ID] = l
	}
	return l.Allow()
}

// cleanName makes user input fit to be shown; "" if nothing is left.
func cleanName(name string) string {
	name = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && r != ' ' {
			return -1
		}
		return r
	}, name)), " ")
	if utf8.RuneCountInString(name) > maxName {
		name = string([]rune(name)[:maxName])
	}
	return name
}

// channelOf returns the channel of a room; room may already have the prefix.
func channelOf(room string) (channel string, ok bool) {
	room = strings.TrimPrefix(room, channelPrefix)
	return channelPrefix + room, roomName.MatchString(room)
}
