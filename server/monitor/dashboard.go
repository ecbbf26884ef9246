package monitor

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/config"
	"icomet/server/params"
	"icomet/server/reactor"
	"icomet/server/wire"
)

const (
	// shownMessages and shownBytes bound what is told of one channel's buffer: the
	// newest messages, and what each begins with.
	shownMessages = 100
	shownBytes    = 4 << 10
)

// HandleLook tells how a channel stands, with its messages from seq on. Who asks again
// and again follows the channel without being a subscriber of it.
func (m *Monitor) HandleLook(c *reactor.Conn, r *reactor.Request) {
	name, ok := c.Cname(r)
	if !ok {
		return
	}
	since, ok := c.Int(r, params.Seq)
	if !ok {
		return
	}
	callback, ok := c.Callback(r)
	if !ok {
		return
	}
	sc := c.Scratch()
	brief, ms, there := m.hub.Look(name, since, shownMessages, sc.Replay[:0])
	b := append(sc.Body[:0], `{"cname":"`...)
	b = wire.AppendJSON(b, name)
	b = append(append(b, `","scope":"`...), scopeOf(m.hub)...)
	b = append(b, `","there":`...)
	b = strconv.AppendBool(b, there)
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"subscribers", int64(brief.Subscribers)}, {"next", brief.Next}, {"stored", int64(brief.Stored)},
		{"oldest", brief.Oldest}, {"seconds_left", int64(brief.TimeLeft.Seconds())},
		{"oldest_age", int64(brief.OldestAge.Seconds())},
	} {
		b = append(append(append(b, `,"`...), n.name...), `":`...)
		b = wire.AppendInt(b, n.value)
	}
	b = append(b, `,"epoch":"`...)
	if there {
		b = wire.AppendEpoch(b, brief.Epoch)
	}
	b = append(b, `","ended":`...)
	b = strconv.AppendBool(b, brief.Ended)
	b = append(b, `,"class":"`...)
	b = wire.AppendJSON(b, []byte(brief.Class))
	b = append(b, `","messages":[`...)
	for i := range ms {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendShown(b, &ms[i])
	}
	sc.Body = append(b, "]}\n"...)
	clear(ms)
	c.JSON(r, callback, sc.Body)
}

// appendShown appends a message; of a long one its beginning.
func appendShown(b []byte, m *channel.Message) []byte {
	typ := wire.TypeData
	if m.Type == channel.Broadcast {
		typ = wire.TypeBroadcast
	}
	b = append(append(append(b, `{"type":"`...), typ...), `","seq":`...)
	b = wire.AppendInt(b, m.Seq)
	b = append(b, `,"bytes":`...)
	b = wire.AppendInt(b, int64(contentLen(m.Content)))
	b = append(b, `,"content":"`...)
	return append(append(b, m.Content[:cutString(m.Content, shownBytes)]...), `"}`...)
}

// contentLen is how many bytes a JSON string's body stands for.
func contentLen(body string) int {
	n := 0
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			n++
			i++
			continue
		}
		if body[i+1] != 'u' {
			n++
			i += len(`\n`)
			continue
		}
		r := escaped(body[i:])
		i += len(`\u0000`)
		if utf16.IsSurrogate(r) {
			// Half of a pair that is not there counts as U+FFFD, which readers make of it.
			if r = utf16.DecodeRune(r, escaped(body[i:])); r != utf8.RuneError {
				i += len(`\u0000`)
			}
		}
		n += utf8.RuneLen(r)
	}
	return n
}

// escaped is the code unit that a text of a JSON string begins with, if it begins with \uXXXX.
func escaped(text string) rune {
	if len(text) < len(`\u0000`) || text[:2] != `\u` {
		return 0
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	if err != nil {
		return 0
	}
	return rune(n)
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

// ServeList answers with a page of the channels that this node's hub has (scopeOf).
func (m *Monitor) ServeList(w http.ResponseWriter, r *http.Request) {
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
	page, err := m.lister.list(r.Context(), &q)
	if err != nil {
		http.Error(w, "given up: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", wire.ContentJSON)
	_ = json.NewEncoder(w).Encode(page) // into memory
}

// HandleConfig shows the present configuration without its secrets.
func (m *Monitor) HandleConfig(c *reactor.Conn, r *reactor.Request) {
	sendJSON(c, r, map[string]any{"keys": config.ShowKeys(m.config())})
}
