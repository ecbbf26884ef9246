package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/channel"
)

// listNames asks for a page over HTTP.
func (s *testServer) list(query string) (page listPage, names []string) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.call("/dashboard/channels?"+query)), &page); err != nil {
		s.t.Fatal(err)
	}
	for _, e := range page.Channels {
		names = append(names, e.Name)
	}
	return page, names
}

// TestListPages: pages one after the other give every channel once, in the order.
func TestListPages(t *testing.T) {
	s := startServer(t, nil)
	const n = 57
	for i := range n {
		for range 1 + i%3 {
			s.call(fmt.Sprintf("/push?cname=c%02d&content=x", i))
		}
	}
	for i := range 3 {
		s.open("stream", fmt.Sprintf("cname=c%02d&seq=9", 10*i)).next()
	}
	s.open("stream", "cname=c20&seq=9").next()
	for sort, first := range map[string]string{"subscribers": "c20 c00 c10 c01", "stored": "c02 c05 c08 c11", "name": "c00 c01 c02 c03"} {
		var all []string
		for query := "limit=10&sort=" + sort; ; {
			page, names := s.list(query)
			if page.Matched != n || len(names) > 10 || page.Scope != "all" {
				t.Fatalf("%s: %d matched, %d on the page", sort, page.Matched, len(names))
			}
			all = append(all, names...)
			if !page.More {
				break
			}
			last := page.Channels[len(page.Channels)-1]
			query = fmt.Sprintf("limit=10&sort=%s&after=%s&value=%v", sort, last.Name, last.Value)
		}
		if got := strings.Join(all[:4], " "); got != first {
			t.Errorf("%s: it begins with %s, want %s", sort, got, first)
		}
		if slices.Sort(all); len(slices.Compact(all)) != n || len(all) != n {
			t.Errorf("%s: %d channels", sort, len(all))
		}
	}
	page, names := s.list("search=C1&sort=name&limit=3")
	if page.Matched != 10 || !page.More || strings.Join(names, " ") != "c10 c11 c12" {
		t.Errorf("%d, %v, %v", page.Matched, page.More, names)
	}
	if e := page.Channels[0]; e.Subscribers != 1 || e.Stored != 2 || e.Next != 3 {
		t.Errorf("%+v", e)
	}
}

// TestListOddNames: every name that a channel can have survives the way.
func TestListOddNames(t *testing.T) {
	s := startServer(t, nil)
	var want []string
	for _, name := range []string{"\x01\n\"\\", "</script>", "ä\u2028", strings.Repeat("x", 255)} {
		s.call("/push?content=&cname=" + url.QueryEscape(name))
		want = append(want, name)
	}
	slices.Sort(want)
	if _, names := s.list("sort=name"); !reflect.DeepEqual(names, want) {
		t.Errorf("%q", names)
	}
	if _, names := s.list("sort=name&limit=1&value=0&after=" + url.QueryEscape(want[0])); !reflect.DeepEqual(names, want[1:2]) {
		t.Errorf("%q", names)
	}
}

// TestListRefuses: parameters that make no sense are told.
func TestListRefuses(t *testing.T) {
	s := startServer(t, nil)
	for query, word := range map[string]string{
		"sort=age": "sort", "limit=0": "limit", "limit=201": "limit", "limit=x": "limit", "after=a": "value", "after=a&value=x": "value",
	} {
		dial(t, s.admin).get("/dashboard/channels?"+query).wantError(400, word, false)
	}
}

// TestListRates: messages a second since the list before; new channels count from 1.
func TestListRates(t *testing.T) {
	h := channel.NewHub(channel.Limits{MaxChannels: 100, MaxSubscribers: 9, BufferSize: 9, Timeout: time.Hour})
	l := newLister(h)
	publish := func(name string, n int) {
		for range n {
			if _, err := h.Publish([]byte(name), "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := func() string {
		t.Helper()
		page, err := l.list(t.Context(), &listQuery{sort: "rate", limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, e := range page.Channels {
			text += fmt.Sprintf("%s %v ", e.Name, e.Rate > 0)
		}
		return text
	}
	publish("old", 500)
	publish("zero", 1)
	if got := list(); got != "old false zero false " {
		t.Errorf("%s", got)
	}
	at := l.rates.at
	publish("new", 50)
	publish("old", 100)
	page, err := l.list(t.Context(), &listQuery{sort: "rate", limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	seconds := l.rates.at.Sub(at).Seconds()
	for i, want := range []float64{100 / seconds, 50 / seconds, 0} {
		if got := page.Channels[i].Rate; got < 0.9*want || got > 1.1*want {
			t.Errorf("%+v: the rate is to be about %v", page.Channels[i], want)
		}
	}
	l.forget(time.Now().Add(ratesKept / 2))
	if l.rates == nil {
		t.Error("forgotten at once")
	}
	l.forget(time.Now().Add(2 * ratesKept))
	if l.rates != nil {
		t.Error("never forgotten")
	}
}

// TestListEnds: a client that goes away ends its walk, and who waits for it.
func TestListEnds(t *testing.T) {
	l := newLister(channel.NewHub(channel.Limits{MaxChannels: 1, MaxSubscribers: 1, BufferSize: 1, Timeout: time.Hour}))
	<-l.turn // somebody else's
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.list(ctx, &listQuery{sort: "name", limit: 1}); err != context.Canceled {
		t.Errorf("%v", err)
	}
	l.turn <- struct{}{}
	if _, err := l.list(ctx, &listQuery{sort: "rate", limit: 1}); err != context.Canceled {
		t.Errorf("%v", err)
	}
	if _, err := l.list(t.Context(), &listQuery{sort: "name", limit: 1}); err != nil {
		t.Errorf("the turn is not given back: %v", err)
	}
}
