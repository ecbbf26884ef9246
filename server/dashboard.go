package server

import (
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/web/dashboard"
)

const (
	// shownMessages and shownBytes bound what is told of one channel's buffer: the
	// newest messages, and what each begins with.
	shownMessages = 100
	shownBytes    = 4 << 10
)

// pageFields let the dashboard load nothing but its own files, and no other site put it
// into a frame: it has buttons that close channels.
const pageFields = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n" +
	"Referrer-Policy: same-origin\r\n"

var fileTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": typeScript, ".svg": "image/svg+xml", ".txt": typeText,
}

// withDashboard adds the page, its files and what it asks for.
func withDashboard(endpoints map[string]*endpoint) map[string]*endpoint {
	for name, body := range dashboard.Files() {
		at := "/dashboard/" + name
		if name == "index.html" {
			at = "/"
		}
		f := newFile(fileTypes[path.Ext(name)], body)
		endpoints[at] = &endpoint{allow: "GET, HEAD", head: true, guard: guardKeyless, handle: func(l *loop, c *conn, r *request) {
			l.sendPage(c, r, f)
		}}
	}
	read := func(handle func(*loop, *conn, *request)) *endpoint {
		return &endpoint{allow: "GET, HEAD", head: true, handle: handle}
	}
	endpoints["/dashboard/channel"] = read((*loop).handleLook)
	endpoints["/dashboard/config"] = read((*loop).handleConfig)
	endpoints["/dashboard/channels"] = bridgeEndpoint("GET, HEAD", func(s *Server) http.Handler { return http.HandlerFunc(s.serveList) })
	endpoints[pathFeed] = &endpoint{allow: "GET", handle: (*loop).handleFeed}
	return endpoints
}

// sendPage answers with a file that is asked for again each time: page and scripts have
// to be of the same version.
func (l *loop) sendPage(c *conn, r *request, f *file) {
	h := head{status: 200, ctype: f.ctype, length: len(f.body), conn: r.conn}
	h.fields = "ETag: " + f.etag + "\r\n" + pageFields
	if matchesETag(r.Get("if-none-match"), f.etag) {
		h.status, h.ctype, h.length = 304, "", lengthNone
		l.out.B = h.append(l.out.B)
		return
	}
	l.out.B = append(h.append(l.out.B), f.body...)
}

// handleLook tells how a channel stands, with its messages from seq on. Who asks again
// and again follows the channel without being a subscriber of it.
func (l *loop) handleLook(c *conn, r *request) {
	name, ok := l.cnameOf(c, r)
	if !ok {
		return
	}
	since, ok := l.intParam(c, r, paramSeq)
	if !ok {
		return
	}
	brief, ms, there := l.srv.hub.Look(name, since, shownMessages, l.replay[:0])
	b := append(l.body[:0], `{"cname":"`...)
	b = appendJSONBody(b, name)
	b = append(append(b, `","scope":"`...), scopeOf(l.srv.hub)...)
	b = append(b, `","there":`...)
	b = strconv.AppendBool(b, there)
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"subscribers", int64(brief.Subscribers)}, {"next", brief.Next}, {"stored", int64(brief.Stored)},
		{"oldest", brief.Oldest}, {"seconds_left", int64(brief.TimeLeft.Seconds())},
	} {
		b = append(append(append(b, `,"`...), n.name...), `":`...)
		b = appendInt(b, n.value)
	}
	b = append(b, `,"messages":[`...)
	for i := range ms {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendShown(b, &ms[i])
	}
	l.body = append(b, "]}\n"...)
	clear(ms)
	l.json(c, r, l.body)
}

// appendShown appends a message; of a long one its beginning.
func appendShown(b []byte, m *channel.Message) []byte {
	typ := typeData
	if m.Type == channel.Broadcast {
		typ = typeBroadcast
	}
	b = append(append(append(b, `{"type":"`...), typ...), `","seq":`...)
	b = appendInt(b, m.Seq)
	b = append(b, `,"bytes":`...)
	b = appendInt(b, int64(len(m.Content)))
	b = append(b, `,"content":"`...)
	return append(append(b, m.Content[:cutString(m.Content, shownBytes)]...), `"}`...)
}

// cutString is where the body of a JSON string can be cut, at limit or just before it:
// not inside an escape or a character.
func cutString(body string, limit int) int {
	if len(body) <= limit {
		return len(body)
	}
	for i := 0; ; {
		n := 1
		switch {
		case body[i] == '\\' && body[i+1] == 'u':
			n = len(`\u0000`)
		case body[i] == '\\':
			n = len(`\n`)
		case body[i] >= utf8.RuneSelf:
			_, n = utf8.DecodeRuneInString(body[i:])
		}
		if i+n > limit {
			return i
		}
		i += n
	}
}

// serveList answers with a page of the channels that this node's hub has (scopeOf).
func (s *Server) serveList(w http.ResponseWriter, r *http.Request) {
	form := r.URL.Query()
	q := listQuery{search: strings.ToLower(form.Get("search")), sort: form.Get("sort"), limit: 50}
	switch q.sort {
	case "":
		q.sort = "subscribers"
	case "subscribers", "rate", "stored", "name":
	default:
		http.Error(w, "sort is none of subscribers, rate, stored, name", 400)
		return
	}
	if text := form.Get("limit"); text != "" {
		n, ok := httpparse.ParseInt([]byte(text))
		if !ok || n < 1 || n > listLimit {
			http.Error(w, "limit is not a number from 1 to "+strconv.Itoa(listLimit), 400)
			return
		}
		q.limit = int(n)
	}
	if form.Has("after") {
		value, err := strconv.ParseFloat(form.Get("value"), 64)
		if err != nil {
			http.Error(w, "value is not the number that the channel in after had", 400)
			return
		}
		q.after = &listEntry{Name: form.Get("after"), Value: value}
	}
	page, err := s.lister.list(r.Context(), &q)
	if err != nil {
		http.Error(w, "given up: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	_ = json.NewEncoder(w).Encode(page) // into memory
}

// shownKey is one key of the configuration.
type shownKey struct {
	Key     string `json:"key"`
	Value   any    `json:"value"` // null: a secret
	Secret  bool   `json:"secret,omitempty"`
	Set     bool   `json:"set"`     // a secret: there is one
	Changed bool   `json:"changed"` // it is not the default
	Restart bool   `json:"restart"`
}

// handleConfig shows the present configuration without its secrets.
func (l *loop) handleConfig(c *conn, r *request) {
	cfg, standard := l.srv.settings.Load().config, DefaultConfig()
	text, err := json.Marshal(map[string]any{"keys": showConfig(&cfg, &standard)})
	if err != nil {
		l.refuse(c, r, 500, err.Error())
		return
	}
	l.body = append(append(l.body[:0], text...), '\n')
	l.json(c, r, l.body)
}

func showConfig(cfg, standard *Config) []shownKey {
	var keys []shownKey
	defaults := fieldsOf(standard)
	for i, f := range fieldsOf(cfg) {
		k := shownKey{
			Key: f.key, Secret: f.tag.Get("secret") == "yes", Restart: f.tag.Get("restart") == "yes",
			Changed: !reflect.DeepEqual(f.value.Interface(), defaults[i].value.Interface()),
		}
		switch v := f.value.Interface().(type) {
		case Size:
			k.Value = v.String()
		case Duration:
			k.Value = v.String()
		default:
			k.Value = v
		}
		if k.Secret {
			k.Value, k.Set = nil, !f.value.IsZero() && (f.value.Kind() != reflect.Slice || f.value.Len() > 0)
		}
		keys = append(keys, k)
	}
	return keys
}
