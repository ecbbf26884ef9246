package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"icomet/server"
	"icomet/server/config"
	"icomet/server/servertest"
)

const testSecret = "an HS256 secret of more than 32 bytes"

// signer makes the tokens of one key.
type signer struct {
	method jwt.SigningMethod
	key    any
	file   string // the server's side of it
}

func (k *signer) sign(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(k.method, claims).SignedString(k.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func publicFile(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "public.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newSigners(t testing.TB) map[string]*signer {
	t.Helper()
	r := must(rsa.GenerateKey(rand.Reader, 2048))
	e := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*signer{
		"HS256": {jwt.SigningMethodHS256, []byte(testSecret), secretFile(t, testSecret+"\n")},
		"RS256": {jwt.SigningMethodRS256, r, publicFile(t, r)},
		"ES256": {jwt.SigningMethodES256, e, publicFile(t, e)},
		"EdDSA": {jwt.SigningMethodEdDSA, d, publicFile(t, d)},
	}
}

func inAnHour() int64 { return time.Now().Add(time.Hour).Unix() }

// wantToken subscribes with a token and says whether it has to open the channel.
func (s *testServer) wantToken(about, token, cname string, opens bool) {
	s.t.Helper()
	c := dial(s.t, s.front)
	defer c.Close()
	r := c.get("/sub?cname=" + cname + "&token=" + token).reply()
	want := `{"type":"401","cname":"` + cname + `","seq":0,"content":"Token error"}` + "\n"
	if r.status != 200 || opens && !strings.HasPrefix(r.body, `{"type":"next_seq"`) || !opens && r.body != want {
		s.t.Errorf("%s: got %d %q", about, r.status, r.body)
	}
}

// TestTokenMethods: each kind of key opens with its own method and no other.
func TestTokenMethods(t *testing.T) {
	t.Parallel()
	signers := newSigners(t)
	s := startServer(t, func(cfg *config.Config) {
		cfg.Front.Auth = "jwt"
		for _, k := range signers {
			cfg.Front.JWTKeys = append(cfg.Front.JWTKeys, k.file)
		}
	})
	claims := jwt.MapClaims{"channel": "a", "exp": inAnHour(), "sub": "u1"}
	others := newSigners(t)
	others["HS256"].key = []byte("another secret of more than 32 bytes!")
	for name, k := range signers {
		good := k.sign(t, claims)
		s.wantToken(name, good, "a", true)
		s.wantToken(name+" of another key", others[name].sign(t, claims), "a", false)
		s.wantToken(name+" changed", good[:len(good)-6]+"AAAAAA", "a", false)
		s.wantToken(name+" without signature", good[:strings.LastIndexByte(good, '.')+1], "a", false)
		s.wantToken(name+" cut", good[:len(good)/2], "a", false)
		parts := strings.Split(good, ".")
		payload := base64.RawURLEncoding.EncodeToString([]byte(`{"channel":"b","exp":99999999999}`))
		s.wantToken(name+" with other claims", parts[0]+"."+payload+"."+parts[2], "b", false)

		// The public key is known to everybody: it must not do as a secret.
		if name != "HS256" {
			public, err := os.ReadFile(k.file)
			if err != nil {
				t.Fatal(err)
			}
			confused := &signer{jwt.SigningMethodHS256, public, ""}
			s.wantToken(name+" as a secret", confused.sign(t, claims), "a", false)
		}
	}
	// Methods that no key is for.
	s.wantToken("none", (&signer{jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, ""}).sign(t, claims), "a", false)
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		s.wantToken(m.Alg(), (&signer{m, []byte(testSecret), ""}).sign(t, claims), "a", false)
	}
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodRS512, jwt.SigningMethodPS256} {
		s.wantToken(m.Alg(), (&signer{m, signers["RS256"].key, ""}).sign(t, claims), "a", false)
	}
	critical := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	critical.Header["crit"] = []string{"exp"}
	s.wantToken("crit", must(critical.SignedString([]byte(testSecret))), "a", false)
	for _, garbage := range []string{"", ".", "..", "a.b.c", "e30.e30.", strings.Repeat("x", 4000)} {
		s.wantToken("garbage", garbage, "a", false)
	}
	if n := s.hub.Channels(); n != 1 {
		t.Errorf("%d channels: a refused token has created one", n)
	}
}

// TestTokenClaims: which channel, until when, for whom.
func TestTokenClaims(t *testing.T) {
	t.Parallel()
	signers := newSigners(t)
	k := signers["HS256"]
	s := startServer(t, func(cfg *config.Config) { cfg.Front.Auth, cfg.Front.JWTKeys = "jwt", []string{k.file} })
	now := time.Now()
	for _, tc := range []struct {
		about  string
		claims jwt.MapClaims
		opens  string
		not    string
	}{
		{"channel", jwt.MapClaims{"channel": "a"}, "a", "b A ab %20a a*"},
		{"channel is no pattern", jwt.MapClaims{"channel": "a*"}, "a*", "ab"},
		{"channels", jwt.MapClaims{"channels": []string{"a", "b"}}, "a b", "c ab a,b"},
		{"channels are no patterns", jwt.MapClaims{"channels": []string{"*"}}, "*", "a"},
		{"pattern", jwt.MapClaims{"pattern": "user.42.*"}, "user.42. user.42.a user.42.a.b", "user.42 user.421.a xuser.42.a user.4.2"},
		{"pattern in the middle", jwt.MapClaims{"pattern": "a*b*c"}, "abc axbxc abbc abcbc", "ac acb abcd xabc ab"},
		{"pattern overlap", jwt.MapClaims{"pattern": "ab*ba"}, "abba ab-ba", "aba ab ba"},
		{"pattern of all", jwt.MapClaims{"pattern": "*"}, "a ä", ""},
		{"pattern without star", jwt.MapClaims{"pattern": "a.b"}, "a.b", "aXb a.bc"},
		{"together", jwt.MapClaims{"channel": "a", "channels": []string{"b"}, "pattern": "c*"}, "a b c cc", "d ab"},
		{"no channel", jwt.MapClaims{}, "", "a"},
		{"empty ones", jwt.MapClaims{"channel": "", "channels": []string{}, "pattern": ""}, "", "a"},
		{"wrong types", jwt.MapClaims{"channel": 5}, "", "5"},
		{"list of numbers", jwt.MapClaims{"channels": []int{5}}, "", "5"},
		{"expired", jwt.MapClaims{"channel": "a", "exp": now.Add(-time.Second).Unix()}, "", "a"},
		{"exp 0", jwt.MapClaims{"channel": "a", "exp": 0}, "", "a"},
		{"exp is a text", jwt.MapClaims{"channel": "a", "exp": "tomorrow"}, "", "a"},
		{"no exp", jwt.MapClaims{"channel": "a", "exp": nil}, "", "a"},
		{"exp is a number as a text", jwt.MapClaims{"channel": "a", "exp": fmt.Sprint(inAnHour())}, "", "a"},
		{"exp in capitals", jwt.MapClaims{"channel": "a", "exp": nil, "EXP": inAnHour()}, "", "a"},
		{"expired, with one in capitals", jwt.MapClaims{"channel": "a", "exp": now.Add(-time.Hour).Unix(), "Exp": inAnHour()}, "", "a"},
		{"channel in capitals", jwt.MapClaims{"Channel": "a", "CHANNELS": []string{"a"}, "Pattern": "*"}, "", "a"},
		{"a channel beside one in capitals", jwt.MapClaims{"channel": "a", "CHANNEL": "b"}, "a", "b"},
		{"aud in capitals", jwt.MapClaims{"channel": "a", "AUD": "somebody else"}, "a", ""},
		{"audience is a number", jwt.MapClaims{"channel": "a", "aud": 5}, "", "a"},
		{"channels is a text", jwt.MapClaims{"channel": "a", "channels": "a"}, "", "a"},
		{"claims that are null", jwt.MapClaims{"channel": "a", "channels": nil, "nbf": nil, "aud": nil, "sub": nil}, "a", ""},
		{"an issuer's clock ahead", jwt.MapClaims{"channel": "a", "nbf": now.Add(2 * time.Second).Unix(), "iat": now.Add(2 * time.Second).Unix()}, "a", ""},
		{"an issuer's clock half a minute ahead", jwt.MapClaims{"channel": "a", "nbf": now.Add(30 * time.Second).Unix(), "iat": now.Add(30 * time.Second).Unix()}, "a", ""},
		{"nbf is a text", jwt.MapClaims{"channel": "a", "nbf": fmt.Sprint(now.Unix())}, "", "a"},
		{"iat is a text", jwt.MapClaims{"channel": "a", "iat": fmt.Sprint(now.Unix())}, "", "a"},
		{"issued in an hour", jwt.MapClaims{"channel": "a", "iat": now.Add(time.Hour).Unix()}, "", "a"},
		{"nbf with a fraction", jwt.MapClaims{"channel": "a", "nbf": float64(now.Unix()) + 0.5}, "a", ""},
		{"not yet", jwt.MapClaims{"channel": "a", "nbf": now.Add(time.Hour).Unix()}, "", "a"},
		{"since", jwt.MapClaims{"channel": "a", "nbf": now.Add(-time.Hour).Unix()}, "a", ""},
		{"subject", jwt.MapClaims{"channel": "a", "sub": "u1"}, "a", ""},
		{"subject is a number", jwt.MapClaims{"channel": "a", "sub": 5}, "", "a"},
		{"long subject", jwt.MapClaims{"channel": "a", "sub": strings.Repeat("x", 256)}, "", "a"},
		{"audience", jwt.MapClaims{"channel": "a", "aud": "somebody else"}, "", "a"},
	} {
		if _, has := tc.claims["exp"]; !has {
			tc.claims["exp"] = inAnHour()
		}
		token := k.sign(t, tc.claims)
		for name := range strings.FieldsSeq(tc.opens) {
			s.wantToken(tc.about, token, name, true)
		}
		for name := range strings.FieldsSeq(strings.ReplaceAll(tc.not, "%20", "+")) {
			if name != "+a" {
				s.wantToken(tc.about, token, name, false)
			}
		}
	}
	// A token without exp at all, and one whose time comes while it is in use.
	s.wantToken("no exp", k.sign(t, jwt.MapClaims{"channel": "a"}), "a", false)
	var soon string
	for life := 2 * time.Second; ; life *= 2 { // a busy machine needs longer to use it
		soon = k.sign(t, jwt.MapClaims{"channel": "a", "exp": time.Now().Add(life).Unix()})
		if r := dial(t, s.front).get("/sub?cname=a&token=" + soon).reply(); !strings.Contains(r.body, "Token error") {
			break
		} else if life > time.Minute {
			t.Fatalf("refused before its end: %s", r.body)
		}
	}
	checkFor(t, patience, func() error {
		if r := dial(t, s.front).get("/sub?cname=a&token=" + soon).reply(); !strings.Contains(r.body, "Token error") {
			return fmt.Errorf("still %s", r.body)
		}
		return nil
	})
	// Every transport tells it in its own framing, and a good token works for all.
	good := k.sign(t, jwt.MapClaims{"channel": "t", "exp": inAnHour()})
	for _, transport := range transports {
		s.open(transport, "cname=t").want("401", "t", 0, "Token error")
		s.open(transport, "cname=t&token="+good).want("next_seq", "t", 1, "")
	}

	s.reload(func(cfg *config.Config) { cfg.Front.JWTAudience = "push" })
	for aud, opens := range map[string]bool{`"push"`: true, `["x","push"]`: true, `"other"`: false, `null`: false} {
		s.wantToken("aud "+aud, k.sign(t, jwt.MapClaims{"channel": "a", "exp": inAnHour(), "aud": json.RawMessage(aud)}), "a", opens)
	}
}

// TestTokenKeysReload: a key is rotated while the server runs.
func TestTokenKeysReload(t *testing.T) {
	t.Parallel()
	signers := newSigners(t)
	old, next := signers["ES256"], signers["EdDSA"]
	s := startServer(t, func(cfg *config.Config) { cfg.Front.Auth, cfg.Front.JWTKeys = "jwt", []string{old.file} })
	claims := jwt.MapClaims{"channel": "a", "exp": inAnHour()}
	a, b := old.sign(t, claims), next.sign(t, claims)
	both := func(first, second bool) {
		t.Helper()
		s.wantToken("the old one", a, "a", first)
		s.wantToken("the new one", b, "a", second)
	}
	both(true, false)
	held := s.open("stream", "cname=a&seq=1&token="+a)
	s.reload(func(cfg *config.Config) { cfg.Front.JWTKeys = []string{old.file, next.file} })
	both(true, true)
	s.reload(func(cfg *config.Config) { cfg.Front.JWTKeys = []string{next.file} })
	both(false, true)
	broken := s.cfg
	broken.Front.JWTKeys = []string{next.file, "/nowhere"}
	if err := s.Reload(broken); err == nil || !strings.Contains(err.Error(), "front.jwt_keys /nowhere: no such file") {
		t.Errorf("got %v", err)
	}
	both(false, true)
	s.call("/push?cname=a&content=x") // who is in stays in
	held.want("data", "a", 1, "x")
}

// TestTokenKeyMistakes: a file that is no key, or too weak a one, stops the start.
func TestTokenKeyMistakes(t *testing.T) {
	t.Parallel()
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	curve := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	private := must(x509.MarshalPKCS8PrivateKey(curve))
	open := secretFile(t, testSecret)
	if err := os.Chmod(open, 0o664); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ path, want string }{
		{"/nowhere", "no such file"},
		{secretFile(t, ""), "32 bytes or more, this one has 0"},
		{secretFile(t, "too short a secret\n"), "32 bytes or more, this one has 18"},
		{open, "mode 0664"},
		{publicFile(t, small), "2048 bits or more, this one has 1024"},
		{publicFile(t, curve), "must be RSA, P-256 or Ed25519"},
		{secretFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))), `a PEM block "PRIVATE KEY": a PUBLIC KEY is needed`},
		{secretFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte(testSecret)}))), "cannot be read"},
		{secretFile(t, "-----BEGIN PUBLIC KEY-----\n"+testSecret), "the PEM block in it cannot be read"},
	} {
		cfg := config.Default()
		cfg.Front.Auth, cfg.Front.JWTKeys = "jwt", []string{tc.path}
		err := server.CheckConfig(cfg)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret of") {
			t.Errorf("got %v, want %s", err, tc.want)
		}
	}
}

// TestTokensStayOutOfTheLog: at the finest level the log says who came, never with
// what.
func TestTokensStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	k := newSigners(t)["HS256"]
	keys := secretFile(t, "key-in-the-file\n")
	written := new(servertest.Output)
	s := startServerAs(t, func(cfg *config.Config) {
		cfg.Front.Auth, cfg.Front.JWTKeys = "jwt", []string{k.file}
		cfg.Admin.Keys, cfg.Admin.KeysFile = []string{"key-in-the-configuration"}, keys
	}, func(o *server.Options) {
		o.Logger = slog.New(slog.NewJSONHandler(written, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}, nil)
	good := k.sign(t, jwt.MapClaims{"channel": "a", "exp": inAnHour(), "sub": "user-7"})
	s.wantToken("good", good, "a", true)
	s.wantToken("for another channel", good, "b", false)
	s.wantToken("garbage", "Z2FyYmFnZQ.Z2FyYmFnZQ.Z2FyYmFnZQ", "a", false)
	s.wantToken("cut", good[:len(good)-3], "a", false)
	for _, key := range []string{"Bearer key-in-the-file", "Bearer key-in-the-configuration", "Bearer wrong-key"} {
		s.bearer(key)
	}
	log := written.String()
	for _, want := range []string{`"token accepted","channel":"a","subject":"user-7"`, `"channel":"b","subject":"user-7","reason":"not for this channel"`,
		"no key fits its signature", "malformed"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
	for part := range strings.SplitSeq(good+".Z2FyYmFnZQ.key-in-the-file.key-in-the-configuration.wrong-key."+testSecret, ".") {
		if strings.Contains(log, part) {
			t.Errorf("%q is in the log:\n%s", part, log)
		}
	}
}

// TestCreateOnSubscribe: with false nobody makes a channel by subscribing.
func TestCreateOnSubscribe(t *testing.T) {
	t.Parallel()
	k := newSigners(t)["HS256"]
	for _, auth := range []string{"none", "jwt"} {
		s := startServer(t, func(cfg *config.Config) {
			cfg.Front.CreateOnSubscribe = false
			cfg.Front.Auth, cfg.Front.JWTKeys = auth, []string{k.file}
		})
		token := "&token=" + k.sign(t, jwt.MapClaims{"pattern": "*", "exp": inAnHour()})
		for _, transport := range transports {
			s.open(transport, "cname=a"+token).want("401", "a", 0, "Token error")
		}
		if n := s.hub.Channels(); n != 0 {
			t.Errorf("%s: %d channels", auth, n)
		}
		s.call("/sign?cname=a")
		s.call("/push?cname=b&content=x")
		for _, transport := range transports {
			s.open(transport, "cname=a"+token).want("next_seq", "a", 1, "")
			s.open(transport, "cname=b"+token).want("next_seq", "b", 2, "")
		}
		s.reload(func(cfg *config.Config) { cfg.Front.CreateOnSubscribe = true })
		s.open("sub", "cname=new"+token).want("next_seq", "new", 1, "")
	}
}

// TestTokenOfEachChannel: of several channels each is judged for itself, by its own token or
// by one that is in Authorization for all.
func TestTokenOfEachChannel(t *testing.T) {
	t.Parallel()
	k := newSigners(t)["HS256"]
	s := startServer(t, func(cfg *config.Config) { cfg.Front.Auth, cfg.Front.JWTKeys = "jwt", []string{k.file} })
	token := func(name string) string { return k.sign(t, jwt.MapClaims{"channel": name, "exp": inAnHour()}) }
	both := "Authorization: Bearer " + k.sign(t, jwt.MapClaims{"channels": []string{"a", "b"}, "exp": inAnHour()}) + "\r\n"
	const seq, refused = `{"type":"next_seq","cname":"%s"`, `{"type":"401","cname":"%s","seq":0,"content":"Token error"}`
	for _, tc := range []struct{ query, fields, a, b string }{
		{"cname=a&token=" + token("a") + "&cname=b&token=" + token("b"), "", seq, seq},
		{"cname=a&token=" + token("b") + "&cname=b&token=" + token("b"), "", refused, seq},
		{"cname=a&token=" + token("a") + "&cname=b", "", seq, refused},
		{"cname=a&cname=b", both, seq, seq},
		{"cname=a&cname=b&token=" + token("a"), both, seq, refused},
		{"cname=a&cname=b", "", refused, refused},
	} {
		want := []string{fmt.Sprintf(tc.a, "a"), fmt.Sprintf(tc.b, "b")}
		for _, kind := range []string{"stream", "sse", "sub"} {
			c := dial(t, s.front)
			c.sendf("GET /%s?%s HTTP/1.1\r\nHost: test\r\n%s\r\n", kind, tc.query, tc.fields)
			for _, part := range want {
				c.until(part)
			}
			c.Close()
		}
		w := s.socket("/ws?"+tc.query, tc.fields)
		w.hear(want...)
		if tc.a == refused && tc.b == refused {
			w.hearClose(1000)
			continue
		}
		w.say(`{"type":"subscribe","cname":"c","token":"%s"}`, token("b"))
		w.hear(`{"type":"401","cname":"c"`)
		w.say(`{"type":"subscribe","cname":"c","token":"%s"}`, token("c"))
		w.hear(`{"type":"position","cname":"c"`)
		w.Close()
	}
}
