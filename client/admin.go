package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Admin makes calls to the admin port. It is safe for concurrent use. Each method returns
// a *StatusError if the server refuses the call, otherwise the error of the connection or
// of ctx. What is said to be repeated is repeated while Temporary errors last.
type Admin struct {
	URL string // http://host:port or https://host:port
	Key string // one of admin.keys; "": the server needs none

	// OnError, if set, is called for each failure after which a call is repeated, in wait.
	OnError func(err error, wait time.Duration)

	// HTTP, if set, is used instead of http.DefaultClient.
	HTTP *http.Client
}

// Signed is the result of Sign. The subscriber needs Channel and Token.
type Signed struct {
	Channel string
	Seq     int64         // the number of the oldest stored message; if there is none, of the next
	Token   string        // 32 hex digits, the same while the channel lives
	Expires time.Duration // how long the channel waits for a subscriber, whole seconds
	Silence time.Duration // the heartbeat period of subscribers, whole seconds
}

// Totals are the server's counts; with several servers on one Redis, of all of them.
type Totals struct {
	Version     string `json:"version"`
	Channels    int64  `json:"channels"`
	Subscribers int64  `json:"subscribers"`
}

// Presence says that a channel was created or freed.
type Presence struct {
	Channel string
	Online  bool // true: created, or still there (a repeat); false: freed
}

// Sign returns the channel's token, and creates the channel if needed. It waits expires
// for a subscriber (rounded to seconds, at most 30 days; 0: the server's
// channel_timeout).
func (a *Admin) Sign(ctx context.Context, channel string, expires time.Duration) (Signed, error) {
	var s struct {
		Cname, Token string
		Seq, Expires int64
		Period       int64 `json:"sub_timeout"`
	}
	form := url.Values{"cname": {channel}}
	if expires > 0 {
		form.Set("expires", strconv.FormatInt(int64(expires.Round(time.Second)/time.Second), 10))
	}
	if err := a.callJSON(ctx, "/sign", form, &s); err != nil {
		return Signed{}, err
	}
	return Signed{
		Channel: s.Cname, Seq: s.Seq, Token: s.Token,
		Expires: time.Duration(s.Expires) * time.Second, Silence: time.Duration(s.Period) * time.Second,
	}, nil
}

// Push publishes a text, and creates the channel if needed. When it returns nil, the
// message is stored and queued to every subscriber. After an error of the connection it
// may be or not: Publish can be certain. To a channel that has ended, the error is a
// *ConflictError.
func (a *Admin) Push(ctx context.Context, channel, content string) error {
	_, err := a.call(ctx, "/push", url.Values{"cname": {channel}, "content": {content}})
	return (&Publication{}).conflict(err)
}

// Pub is Push for content that is already the body of a JSON string, without the quotes.
func (a *Admin) Pub(ctx context.Context, channel, encoded string) error {
	_, err := a.call(ctx, "/pub", url.Values{"cname": {channel}, "content": {encoded}})
	return (&Publication{}).conflict(err)
}

// Broadcast publishes a text to every channel that exists.
func (a *Admin) Broadcast(ctx context.Context, content string) error {
	_, err := a.call(ctx, "/broadcast", url.Values{"content": {content}})
	return err
}

// Close ends the subscribers of the channel and frees it; next is the number that its
// next message would have had. If there is no such channel, the error is a *StatusError
// with status 404.
func (a *Admin) Close(ctx context.Context, channel string) (next int64, err error) {
	return a.control(ctx, "/close", url.Values{"cname": {channel}})
}

// Clear drops the stored messages of the channel. Otherwise it is like Close.
func (a *Admin) Clear(ctx context.Context, channel string) (next int64, err error) {
	return a.control(ctx, "/clear", url.Values{"cname": {channel}})
}

func (a *Admin) control(ctx context.Context, path string, form url.Values) (next int64, err error) {
	b, err := a.call(ctx, path, form)
	if err != nil {
		return 0, err
	}
	number, found := strings.CutPrefix(strings.TrimSpace(string(b)), "ok ")
	if next, err = strconv.ParseInt(number, 10, 64); err != nil || !found {
		return 0, fmt.Errorf("%s answered %.80q", path, b)
	}
	return next, nil
}

// Totals counts all channels and subscribers.
func (a *Admin) Totals(ctx context.Context) (t Totals, err error) {
	err = a.callJSON(ctx, "/info", url.Values{}, &t)
	return t, err
}

// Subscribers counts the subscribers of one channel; 0 if there is no such channel.
func (a *Admin) Subscribers(ctx context.Context, channel string) (int64, error) {
	var v struct{ Subscribers int64 }
	err := a.callJSON(ctx, "/info", url.Values{"cname": {channel}}, &v)
	return v.Subscribers, err
}

// Alive reports whether the channel has a subscriber or has not expired yet.
func (a *Admin) Alive(ctx context.Context, channel string) (bool, error) {
	var v map[string]int
	err := a.callJSON(ctx, "/check", url.Values{"cname": {channel}}, &v)
	return len(v) > 0, err
}

// Stats returns the server's counters, as the JSON of /stats.
func (a *Admin) Stats(ctx context.Context) (json.RawMessage, error) {
	return a.call(ctx, "/stats", url.Values{})
}

// Presence yields the channels that are created and freed; existing channels are repeated
// once per channel_timeout. The last pair has the error that ended it: that of ctx or of
// the connection.
func (a *Admin) Presence(ctx context.Context) iter.Seq2[Presence, error] {
	return func(yield func(Presence, error) bool) {
		resp, err := request(ctx, a.client(), call{method: http.MethodGet, base: a.URL, path: "/psub", key: a.Key})
		if err != nil {
			yield(Presence{}, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			flag, name, found := strings.Cut(lines.Text(), " ")
			if !found {
				continue
			}
			if !yield(Presence{Channel: unescapeName(name), Online: flag == "1"}, nil) {
				return
			}
		}
		err = lines.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		yield(Presence{}, err)
	}
}

// unescapeName restores a name of a presence line. The server escapes control characters
// and the percent sign; servers before 0.2 did not escape the percent sign, so %41 in a
// line of theirs is the name's own.
func unescapeName(name string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(name, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(after) >= 2 {
			c, err := strconv.ParseUint(after[:2], 16, 8)
			if err == nil && (c < ' ' || c == '%' || c >= 0x7f) {
				b.WriteByte(byte(c))
				name = after[2:]
				continue
			}
		}
		b.WriteByte('%')
		name = after
	}
}

func (a *Admin) client() *http.Client {
	if a.HTTP != nil {
		return a.HTTP
	}
	return http.DefaultClient
}

func (a *Admin) call(ctx context.Context, path string, form url.Values) ([]byte, error) {
	return a.post(ctx, path, "application/x-www-form-urlencoded", []byte(form.Encode()))
}

func (a *Admin) post(ctx context.Context, path, media string, body []byte) ([]byte, error) {
	header := http.Header{"Content-Type": {media}}
	resp, err := request(ctx, a.client(), call{method: http.MethodPost, base: a.URL, path: path, body: body, header: header, key: a.Key})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func (a *Admin) callJSON(ctx context.Context, path string, form url.Values, v any) error {
	b, err := a.call(ctx, path, form)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s answered %.80q: %w", path, b, err)
	}
	return nil
}
