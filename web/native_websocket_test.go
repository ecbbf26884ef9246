package web_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"icomet/channel/redis/redistest"
	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// socketScript is all that a page needs to use the browser's own WebSocket. log is what
// happens, but for heartbeats.
const socketScript = `
const log = [];
let socket;
function open(url, ...protocols) {
	socket = new WebSocket(url, protocols);
	socket.onopen = () => log.push('open ' + socket.protocol + ' ' + socket.extensions.split(';')[0]);
	socket.onmessage = e => {
		const m = JSON.parse(e.data);
		if (m.type === 'data' && m.content.length > 1000) m.content = m.content.length;
		if (m.type !== 'noop') log.push([m.type, m.cname, m.seq, m.type === '400' ? '' : m.content].join(' '));
	};
	// A close is never clean for the browser while it has data that it has not sent.
	socket.onclose = e => log.push('close ' + e.code + ' ' + (e.wasClean || e.target.bufferedAmount > 0));
}`

// nativeSocket is a page with a WebSocket.
type nativeSocket struct {
	*browser.Page
	log []string // what has happened so far
}

// want waits until these have happened too.
func (p *nativeSocket) want(more ...string) {
	p.log = append(p.log, more...)
	p.Want("log", js(p.log))
}

func (p *nativeSocket) open(url string, protocols ...string) {
	arguments := js(url)
	for _, name := range protocols {
		arguments += ", " + js(name)
	}
	p.Run("open(" + arguments + "); null")
}

func (p *nativeSocket) send(text string) { p.Run("socket.send(" + js(text) + "); null") }

func socketURL(url string) string { return "ws" + strings.TrimPrefix(url, "http") + "/ws" }

// socketPage is a page of an origin of its own, whose answer has these fields.
func socketPage(t *testing.T, fields ...string) (origin string) {
	return newPlainServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		_, _ = io.WriteString(w, `<!DOCTYPE html><title>native</title><link rel="icon" href="data:,"><script>`+socketScript+`</script>`)
	}))
}

func openSocketPage(t *testing.T, b *browser.Browser, url string) *nativeSocket {
	t.Helper()
	return &nativeSocket{Page: b.Open(t, url), log: []string{}}
}

// TestNativeWebSocket: the browser's own WebSocket, with permessage-deflate and without, and
// over TLS.
func TestNativeWebSocket(t *testing.T) {
	t.Parallel()
	page := socketPage(t)
	for _, c := range []struct {
		extension, value string
		start            func(testing.TB, ...string) *servertest.Server
	}{{"permessage-deflate", "true", servertest.Start}, {"", "false", servertest.Start}, {"permessage-deflate", "true", servertest.StartTLS}} {
		extension := c.extension
		s := c.start(t, "ICOMET_FRONT_WEBSOCKET_COMPRESSION="+c.value, "ICOMET_FRONT_CHANNEL_TIMEOUT=600", "ICOMET_FRONT_POLLING_TIMEOUT=1")
		p := openSocketPage(t, browser.Start(t), page)
		pushAll(s, "a", numbered("", 1, 2))
		s.Push("c", "1")
		p.open(socketURL(s.Front)+"?cname=a&seq=1&cname=b&seq=1", "icomet")
		p.want("open icomet "+extension, "data a 1 1", "data a 2 2")
		s.Push("b", "1")
		p.want("data b 1 1")
		s.Push("a", "3")
		p.want("data a 3 3")
		p.send(`{"type":"ping"}`)
		p.want("pong   ")
		p.send(`{"type":"subscribe","cname":"c","seq":1}`)
		p.want("position c 1 ", "data c 1 1")
		p.send(`{"type":"unsubscribe","cname":"c"}`)
		p.want("unsubscribed c 2 ")
		s.Push("c", "2")
		s.Push("a", strings.Repeat("0123456789", 100_000))
		p.want("data a 4 1000000")
		s.Call("/close", "cname", "b")
		p.want("close b 2 ")
		s.Call("/end", "cname", "a", "content", "last")
		p.want("data a 5 last", "end a 6 ", "close 1000 true")
		p.endsByFault(socketURL(s.Front), extension)
	}
}

// endsByFault: closes by the client and what it must not do, each with its code, and with the
// handshake of both sides.
func (p *nativeSocket) endsByFault(url, extension string) {
	for _, tc := range []struct {
		script string
		code   int
	}{
		{"socket.close()", 1005}, {"socket.close(1000)", 1000}, {"socket.close(4321, 'bye')", 4321},
		{"socket.send(new Uint8Array(1))", 1003},
		{"socket.send('x'.repeat(9000))", 1009},
		{"socket.send('x'.repeat(300_000))", 1009}, // the answer comes while it sends
	} {
		p.open(url)
		p.want("open  " + extension)
		p.Run(tc.script + "; null")
		p.want(fmt.Sprintf("close %d true", tc.code))
	}
	p.open(url)
	p.want("open  " + extension)
	p.Run(`for (let i = 0; i < 500; i++) socket.send('{"type":"unsubscribe","cname":"c"}')`)
	p.Want("log.at(-1)", `"close 1008 true"`)
}

// TestNativeWebSocketEnds: how the browser sees the ends that the server makes, and those
// while messages come.
func TestNativeWebSocketEnds(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	p := openSocketPage(t, browser.Start(t), socketPage(t))
	token := func(cname string) string {
		_, rest, _ := strings.Cut(s.Call("/sign", "cname", cname), `"token":"`)
		return rest[:32]
	}
	url, one := socketURL(s.Front), "cname=a&seq=1&token="+token("a")

	p.open(url + "?cname=a&token=wrong&cname=b")
	p.want("open  ", "401 a 0 Token error", "401 b 0 Token error", "close 1000 true")
	p.open(url + "?" + one + "&cname=b&token=wrong")
	p.want("open  ", "401 b 0 Token error")
	s.Push("a", "1")
	p.want("data a 1 1")
	s.Call("/close", "cname", "a")
	p.want("close a 2 ", "close 1000 true")

	one = "cname=a&seq=1&token=" + token("a")
	p.open(url + "?" + one)
	p.want("open  ")
	for n := 1; n <= 200; n++ {
		s.Push("a", fmt.Sprint(n))
		if n == 100 {
			p.Run("socket.close(1000); null")
		}
	}
	p.Want("log.at(-1)", `"close 1000 true"`)
	p.Run("log.length = 0")
	p.log = p.log[:0]

	one = "cname=b&seq=1&token=" + token("b")
	p.open(url + "?" + one)
	p.want("open  ")
	s.Stop()
	p.want("close 1001 true")
	s.Restart()
	one = "cname=b&seq=1&token=" + token("b")
	p.open(url + "?" + one)
	p.want("open  ")
	s.WaitSubscribers("b", 1)
	s.Kill()
	p.want("close 1006 false")
}

// TestNativeWebSocketOrigins: a page may connect if it is the server's own or listed. The
// others differ in the port alone, or have no origin to tell.
func TestNativeWebSocketOrigins(t *testing.T) {
	t.Parallel()
	listed, other := socketPage(t), socketPage(t)
	sandboxed := socketPage(t, "Content-Security-Policy", "sandbox allow-scripts")
	b := browser.Start(t)
	for allow, pages := range map[string][]string{"": {}, listed: {listed}, "*": {listed, other, sandboxed}} {
		s := servertest.Start(t, "ICOMET_FRONT_ALLOW_ORIGINS="+allow)
		for _, page := range []string{"own", listed, other, sandboxed} {
			var p *nativeSocket
			if page == "own" {
				p = openSocketPage(t, b, s.Front+"/ping")
				p.useScript()
			} else {
				p = openSocketPage(t, b, page)
			}
			p.open(socketURL(s.Front) + "?cname=a&seq=1")
			subscribers := `"subscribers": 0}`
			if page == "own" || slices.Contains(pages, page) {
				p.want("open  ")
				subscribers = `"subscribers": 1}`
			} else {
				p.want("close 1006 false")
			}
			if got := s.Call("/info", "cname", "a"); !strings.Contains(got, subscribers) {
				t.Errorf("with %q a page of %s: %s", allow, page, got)
			}
			p.Close()
			s.WaitSubscribers("a", 0)
		}
	}
}

// useScript gives the script to a page that has none.
func (p *nativeSocket) useScript() {
	p.Run(strings.Replace(socketScript, "const log", "globalThis.log", 1) + "; globalThis.open = open; null")
}

// TestNativeWebSocketOverHTTP2: through HAProxy with the example file. The browser opens
// the WebSocket on the HTTP/2 connection that it has.
func TestNativeWebSocketOverHTTP2(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_PROXY_PROTOCOL=true", "ICOMET_FRONT_TRUSTED_PROXIES=127.0.0.1", "ICOMET_FRONT_ALLOW_ORIGINS=")
	address, log := startHAProxy(t, s.Front)
	ignore := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
		return err
	})
	p := &nativeSocket{Page: browser.Start(t).Open(t, "https://"+address+"/ping", ignore), log: []string{}}
	p.useScript()
	p.open("wss://"+address+"/ws?cname=a&seq=1", "icomet")
	p.want("open icomet ")
	s.Push("a", "1")
	p.want("data a 1 1")
	p.send(`{"type":"ping"}`)
	p.want("pong   ")
	s.Stop()
	p.want("close 1001 true")
	s.CheckFor(servertest.Patience, func() error {
		if !strings.Contains(log.String(), "/ws HTTP/2.0") {
			return errors.New("no WebSocket over HTTP/2 in the log:\n" + log.String())
		}
		return nil
	})
}

// startHAProxy runs docs/proxy/haproxy.cfg in front of a server until the end of the test.
func startHAProxy(t *testing.T, front string) (address string, log *servertest.Output) {
	t.Helper()
	dir := t.TempDir()
	writeCertificate(t, dir+"/both.pem")
	text, err := os.ReadFile("../docs/proxy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	address = fmt.Sprint("127.0.0.1:", redistest.Port(t))
	config := strings.NewReplacer("127.0.0.1:8100", strings.TrimPrefix(front, "http://"), "bind :443", "bind "+address,
		"/etc/ssl/icomet", dir, "log /dev/log local0", "log stdout format raw local0", "global\n", "global\n    maxconn 200\n").Replace(string(text))
	if err := os.WriteFile(dir+"/config", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/haproxy", "-db", "-f", dir+"/config")
	log = new(servertest.Output)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test-needs installs it", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(servertest.Patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	servertest.CheckFor(t, servertest.Patience, func() error {
		answer, err := client.Get("https://" + address + "/ping")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, log)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
	return address, log
}

// writeCertificate writes the certificate that httptest has, with its key.
func writeCertificate(t *testing.T, path string) {
	t.Helper()
	site := httptest.NewTLSServer(nil)
	site.Close()
	pair := site.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(path, both, 0o600); err != nil {
		t.Fatal(err)
	}
}
