package wsframe

import (
	"errors"
	"fmt"
	"testing"

	"icomet/httpparse"
)

var requestLimits = httpparse.Limits{RequestLine: 8 << 10, Header: 16 << 10, Fields: 100, Body: 1 << 20}

// upgrade parses a request and judges it. ok is false when it is no request.
func upgrade(b []byte) (h Handshake, ok bool, err error) {
	var r httpparse.Request
	if err := httpparse.Parse(&r, b, 0, &requestLimits); err != nil {
		return h, false, err
	}
	h, err = Upgrade(&r)
	return h, true, err
}

func TestHandshakes(t *testing.T) {
	runCases(t, "testdata/handshakes/*.txt", func(t *testing.T, c *testCase) string {
		h, ok, err := upgrade(c.bytes(t))
		var refused *httpparse.Error
		switch {
		case !ok:
			t.Fatal(err)
		case errors.As(err, &refused):
			return fmt.Sprintf("%d %s\n", refused.Status, refused.Text)
		}
		s := fmt.Sprintf("101 %s\n", AppendAccept(nil, h.Key))
		if h.Protocol != nil {
			s += fmt.Sprintf("protocol %s\n", h.Protocol)
		}
		if e := h.Deflate.Extension(); e != "" {
			s += fmt.Sprintf("extension %s\n", e)
		}
		return s
	})
}

func TestAcceptAppends(t *testing.T) {
	got := AppendAccept([]byte("Sec-WebSocket-Accept: "), []byte("dGhlIHNhbXBsZSBub25jZQ=="))
	if string(got) != "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 section 1.3
		t.Errorf("%s", got)
	}
}
