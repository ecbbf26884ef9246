package channel

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestTokenMatches(t *testing.T) {
	tok := newToken()
	text := tok.String()
	if raw, err := hex.DecodeString(text); err != nil || len(raw) != 16 {
		t.Fatalf("%q is not 32 hex digits", text)
	}
	flipped := []byte(text)
	flipped[31] ^= 1
	for _, tc := range []struct {
		name string
		tok  *token
		text string
		want bool
	}{
		{"itself", tok, text, true},
		{"empty", tok, "", false},
		{"shorter", tok, text[:31], false},
		{"longer", tok, text + "0", false},
		{"twice", tok, text + text, false},
		{"last digit", tok, string(flipped), false},
		{"another's", tok, newToken().String(), false},
		{"zeros", tok, strings.Repeat("0", 32), false},
		{"nil, empty", nil, "", false},
		{"nil, zeros", nil, strings.Repeat("0", 32), false},
	} {
		if got := tc.tok.matches([]byte(tc.text)); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func sign(t *testing.T, h *Hub, name string) Signed {
	t.Helper()
	s, err := h.Sign([]byte(name), 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func joinAuth(h *Hub, name, token string) (Joined, error) {
	return h.Join(&Join{Name: []byte(name), Auth: true, Token: []byte(token)}, nil)
}

func TestTokenLivesWithItsChannel(t *testing.T) {
	h, _ := newTestHub(t, small)
	first := sign(t, h, "a").Token
	publish(t, h, "a", "x")
	h.Clear([]byte("a"))
	if again := sign(t, h, "a").Token; again != first {
		t.Errorf("signed again: %s, was %s", again, first)
	}
	if other := sign(t, h, "b").Token; other == first {
		t.Error("two channels with one token")
	}
	h.Close([]byte("a"))
	if _, err := joinAuth(h, "a", first); !errors.Is(err, ErrToken) {
		t.Errorf("with the token of a closed channel: %v", err)
	}
	if after := sign(t, h, "a").Token; after == first {
		t.Error("the token outlived its channel")
	}
	if _, err := joinAuth(h, "a", first); !errors.Is(err, ErrToken) {
		t.Errorf("the old token on the new channel: %v", err)
	}
}

func TestJoinWithToken(t *testing.T) {
	h, _ := newTestHub(t, small)
	for _, token := range []string{"", strings.Repeat("0", 32)} {
		if _, err := joinAuth(h, "unknown", token); !errors.Is(err, ErrToken) {
			t.Errorf("unknown channel, token %q: %v", token, err)
		}
		publish(t, h, "unsigned", "x")
		if _, err := joinAuth(h, "unsigned", token); !errors.Is(err, ErrToken) {
			t.Errorf("channel without a token, token %q: %v", token, err)
		}
	}
	if h.Alive([]byte("unknown")) || h.Channels() != 1 {
		t.Error("a refused Join created the channel")
	}
	token := sign(t, h, "a").Token
	if _, err := joinAuth(h, "a", token[1:]+token[:1]); !errors.Is(err, ErrToken) {
		t.Errorf("wrong token: %v", err)
	}
	if h.Subscribers() != 0 {
		t.Error("a refused Join subscribed")
	}
	got, err := joinAuth(h, "a", token)
	if err != nil || !got.Subscribed {
		t.Fatalf("right token: %+v, %v", got, err)
	}
}

func TestSignSeq(t *testing.T) {
	h, _ := newTestHub(t, small)
	if s := sign(t, h, "a"); s.Seq != 1 {
		t.Errorf("new channel: seq %d", s.Seq)
	}
	for range small.BufferSize + 3 {
		publish(t, h, "a", "x")
	}
	if s := sign(t, h, "a"); s.Seq != 4 {
		t.Errorf("the oldest stored is 4, got %d", s.Seq)
	}
	next, _ := h.Clear([]byte("a"))
	if s := sign(t, h, "a"); s.Seq != next {
		t.Errorf("nothing stored: seq %d, next is %d", s.Seq, next)
	}
}
