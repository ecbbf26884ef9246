package web_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// More pages at a time than cores make a browser so slow that the client takes a
	// transport for broken.
	if err := flag.Set("test.parallel", "2"); err != nil {
		panic(err)
	}
	browser.Trust(servertest.CertificateHash())
	servertest.Main(m, browser.Stop)
}

// site is the application's web site: a page with the client, usually on another origin
// than the push server.
type site struct {
	*httptest.Server
	mux *http.ServeMux
}

// newSite serves a page that loads the client from the front address, and collects
// messages in got and other events in events. It is over TLS if the front is.
func newSite(t *testing.T, front string) *site {
	t.Helper()
	mux := http.NewServeMux()
	s := &site{httptest.NewUnstartedServer(mux), mux}
	if strings.HasPrefix(front, "https://") {
		s.TLS = servertest.ServerTLS()
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		front := cmp.Or(r.FormValue("front"), front)
		fmt.Fprintf(w, `<!DOCTYPE html><title>test</title><script src="%s/icomet.js"></script><script>%s</script>`, front, pageScript(front))
	})
	return s
}

// with is the address of the page with the client of another front address.
func (s *site) with(front string) string { return s.URL + "/?front=" + url.QueryEscape(front) }

func pageScript(front string) string {
	return fmt.Sprintf(`
const got = [], seqs = [], positions = [], events = [], states = [], comets = [];
let recoveries = 0;
function connect(options) {
	const comet = new iComet({ subUrl: %q, callback: c => got.push(c), retryMin: 50, autoStart: false, ...options });
	comet.on('message', e => { seqs.push(e.seq); positions.push(e.position) });
	comet.on('state', e => states.push(e.state + ' ' + e.transport));
	for (const type of ['gap', 'reset', 'lost', 'close', 'end']) comet.on(type, ({ channel, ...e }) => events.push(e));
	comet.on('recovered', ({ channel, ...e }) => { recoveries++; if (options.recovered) events.push(e) });
	comet.on('error', e => e.code && events.push({ type: 'error', code: e.code }));
	comets.push(comet);
	comet.start();
	return comet;
}`, front)
}

// newPlainServer serves until the end of the test.
func newPlainServer(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// js returns a value as a JavaScript literal.
func js(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// connect starts a client in the page that does not share its connection, unless options
// say otherwise.
func connect(p *browser.Page, channel, options string) {
	p.Run(fmt.Sprintf("connect({channel: %s, share: false, %s}); null", js(channel), options))
}

// numbered returns the texts prefixFROM to prefixTO.
func numbered(prefix string, from, to int) []string {
	list := []string{}
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprint(prefix, i))
	}
	return list
}

func pushAll(s *servertest.Server, channel string, contents []string) {
	for _, c := range contents {
		s.Push(channel, c)
	}
}

// withoutNetworkErrors removes what the browser itself logs when a request fails.
func withoutNetworkErrors(mistakes []string) (rest []string) {
	for _, m := range mistakes {
		if !strings.Contains(m, "Failed to load resource") && !strings.Contains(m, "net::ERR_") && !strings.Contains(m, "WebSocket connection to") {
			rest = append(rest, m)
		}
	}
	return rest
}
