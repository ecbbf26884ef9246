package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

const (
	// MaxChannels bounds a list: for each channelsPage of it, the server reads all of its
	// channels.
	MaxChannels  = 10000
	channelsPage = 200
)

// ChannelSorts are the orders of a list. The first is the default. All but name begin
// with the highest value.
var ChannelSorts = []string{"subscribers", "rate", "stored", "name"}

// ChannelQuery selects the channels of a list.
type ChannelQuery struct {
	Search string // part of the name, ignoring case; "": all
	Sort   string // one of ChannelSorts; "": the first
	Limit  int    // 1 to MaxChannels; 0: 100
}

// ChannelInfo is one channel of a list.
type ChannelInfo struct {
	Name        string  `json:"name"`
	Subscribers int64   `json:"subscribers"`
	Stored      int64   `json:"stored"` // messages
	Next        int64   `json:"next"`   // the number of the next message
	Rate        float64 `json:"rate"`   // messages a second, if the list is sorted by it; otherwise 0
}

// Channels lists channels of the server that is asked; with several servers on one Redis,
// only those with subscribers on that server. matched is the number of channels that
// match the search. A list of more than 200 is read in pages; channels may change between
// two pages, but none is in the list twice. Errors: as of Admin.
func (a *Admin) Channels(ctx context.Context, q ChannelQuery) (list []ChannelInfo, matched int64, err error) {
	if q.Limit == 0 {
		q.Limit = 100
	}
	form := url.Values{}
	if q.Search != "" {
		form.Set("search", q.Search)
	}
	if q.Sort != "" {
		form.Set("sort", q.Sort)
	}
	type listed struct {
		ChannelInfo
		Value float64 // what it is sorted by
	}
	seen := map[string]bool{}
	for more := true; more && len(list) < q.Limit; {
		form.Set("limit", strconv.Itoa(min(q.Limit-len(list), channelsPage)))
		const path = "/dashboard/channels"
		b, err := get(ctx, a.client(), a.URL, path, form, a.Key)
		if err != nil {
			return nil, 0, err
		}
		var page struct {
			Channels []listed
			Matched  int64
			More     bool
		}
		if err := json.Unmarshal(b, &page); err != nil {
			return nil, 0, fmt.Errorf("%s answered %.80q: %w", path, b, err)
		}
		for _, c := range page.Channels {
			if !seen[c.Name] {
				seen[c.Name] = true
				list = append(list, c.ChannelInfo)
			}
			form.Set("after", c.Name)
			form.Set("value", strconv.FormatFloat(c.Value, 'g', -1, 64))
		}
		matched, more = page.Matched, page.More && len(page.Channels) > 0
	}
	return list, matched, nil
}
