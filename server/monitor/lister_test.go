package monitor

import (
	"context"
	"fmt"
	"testing"
	"time"

	"icomet/channel"
)

// TestListRates: messages a second since the list before; new channels count from 1.
func TestListRates(t *testing.T) {
	h := channel.NewHub(channel.Limits{MaxChannels: 100, MaxSubscribers: 9, BufferSize: 9, Timeout: time.Hour})
	l := newLister(h)
	publish := func(name string, n int) {
		for range n {
			if _, err := h.Publish(&channel.Publication{Name: []byte(name), Content: "x"}); err != nil {
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
