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
	// A browser has a cookie for each session, so that its windows can be different
	// people; the parameter "who" says which of them asks.
	cookiePrefix = "chat-"
	paramWho     = "who"

	sessionLife = 12 * time.Hour
	maxName     = 24   // characters
	maxText     = 1000 // characters

	// A person may send burst messages at once, then one every sendEvery.
	sendEvery = time.Second
	burst     = 5
	// maxLimiters bounds the memory that many sessions can take.
	maxLimiters = 10_000

	// channelPrefix keeps the chat's rooms apart from an application's other channels.
	channelPrefix = "chat-"
)

// roomName is what a room may be called. What a user types must never become a
// channel's name unchecked: it could be another part of the application's.
var roomName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// session is who somebody is. It travels in a cookie that only this application can
// make; a real one would have a login before it.
type session struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
}

var errNoSession = errors.New("join first")

// guard makes and checks sessions, and how much each sends.
type guard struct {
	key []byte

	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by session
}

func newGuard() *guard {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return &guard{key: key, limiters: map[string]*rate.Limiter{}}
}

func (g *guard) mac(payload string) string {
	h := hmac.New(sha256.New, g.key)
	h.Write([]byte(payload))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// begin gives the browser a session in that name.
func (g *guard) begin(w http.ResponseWriter, name string) (session, error) {
	s := session{ID: rand.Text()[:12], Name: name, Expires: time.Now().Add(sessionLife)}
	b, err := json.Marshal(s)
	if err != nil {
		return session{}, err
	}
	payload := base64.RawURLEncoding.EncodeToString(b)
	http.SetCookie(w, &http.Cookie{
		Name: cookiePrefix + s.ID, Value: payload + "." + g.mac(payload), Path: "/", Expires: s.Expires,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, // and Secure, behind TLS
	})
	return s, nil
}

// session returns who asks.
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

// allow says whether the session may send one more message now.
func (g *guard) allow(s session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.limiters[s.ID]
	if l == nil {
		if len(g.limiters) >= maxLimiters {
			clear(g.limiters) // everybody has a burst again: a price worth the bound
		}
		l = rate.NewLimiter(rate.Every(sendEvery), burst)
		g.limiters[s.ID] = l
	}
	return l.Allow()
}

// cleanName makes what was typed fit to be shown; "" when nothing is left.
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

// channelOf returns the channel of a room, which may come with the prefix already.
func channelOf(room string) (channel string, ok bool) {
	room = strings.TrimPrefix(room, channelPrefix)
	return channelPrefix + room, roomName.MatchString(room)
}
