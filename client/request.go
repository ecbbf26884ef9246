package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxSentence bounds what is read of a short answer, in bytes.
const maxSentence = 4 << 10

// call is a request. base is the URL that the user has given, to which path and query
// are added.
type call struct {
	method, base, path string
	query              string // encoded
	body               []byte // nil: none
	key                string // sent as Authorization: Bearer; "": none
	header             http.Header
}

// addressError is a URL that no request can be made to.
type addressError struct{ text string }

func (e *addressError) Error() string { return "URL: " + e.text }

// address adds path and query to the URL of a port, which may have a path and a query of
// its own. ws and wss are other words for http and https: what is spoken depends on the
// call. The URL is not in errors: it may have a password in it.
func (c *call) address() (string, error) {
	const want = ", want http://host:port or https://host:port"
	u, err := url.Parse(c.base)
	if err == nil {
		switch u.Scheme {
		case "ws":
			u.Scheme = "http"
		case "wss":
			u.Scheme = "https"
		}
	}
	switch {
	case c.base == "":
		return "", &addressError{"is missing" + want}
	case err != nil && !strings.Contains(c.base, "://"), err == nil && u.Scheme != "http" && u.Scheme != "https":
		return "", &addressError{"has no scheme http or https" + want}
	case err != nil:
		text := err.Error()
		if ue, ok := errors.AsType[*url.Error](err); ok {
			text = ue.Err.Error()
		}
		return "", &addressError{text + want}
	case u.Host == "":
		return "", &addressError{"has no host" + want}
	}
	u = u.JoinPath(c.path)
	u.Fragment = ""
	if own := u.RawQuery; own != "" && c.query != "" {
		u.RawQuery = own + "&" + c.query
	} else if own == "" {
		u.RawQuery = c.query
	}
	return u.String(), nil
}

// request makes a request and returns an answer with status 200, or an error.
func request(ctx context.Context, c *http.Client, what call) (*http.Response, error) {
	address, err := what.address()
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if what.body != nil {
		body = bytes.NewReader(what.body)
	}
	req, err := http.NewRequestWithContext(ctx, what.method, address, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, what.header)
	if what.key != "" {
		req.Header.Set("Authorization", "Bearer "+what.key)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, withoutAddress(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// withoutAddress is err without the address, which has the token in it.
func withoutAddress(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// refusal is the error that an answer tells.
func refusal(resp *http.Response) *StatusError {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxSentence)) // as much as can be read
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))    // 0 if there is none
	return &StatusError{
		Status: resp.StatusCode, Text: strings.TrimSpace(string(text)),
		RetryAfter: time.Duration(seconds) * time.Second,
	}
}

// get reads a whole answer with status 200.
func get(ctx context.Context, c *http.Client, base, path string, query url.Values, key string) ([]byte, error) {
	resp, err := request(ctx, c, call{method: http.MethodGet, base: base, path: path, query: query.Encode(), key: key})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
