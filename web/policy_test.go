package web_test

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"icomet/server/servertest"
	"icomet/web"
	"icomet/web/internal/browser"
)

// strict serves the page under a Content-Security-Policy. It collects what the page asks
// for by script tags, and what the policy has refused.
func (s *site) strict(front, policy string) {
	file := func(path, text string) {
		s.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			fmt.Fprint(w, text)
		})
	}
	file("/own/icomet.js", string(web.Script))
	file("/own/page.js", pageScript(front)+`
const scripts = [], violations = [];
document.addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective));
new MutationObserver(list => {
	for (const m of list) for (const n of m.addedNodes) if (n.src) scripts.push(new URL(n.src).pathname);
}).observe(document, { childList: true, subtree: true });`)
	s.mux.HandleFunc("/strict", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		fmt.Fprint(w, `<!DOCTYPE html><title>test</title><script src="/own/icomet.js"></script><script src="/own/page.js"></script>`)
	})
}

// TestPolicyOfThePage: where script tags are not wanted, by the options or by the policy of
// the page, a server that is away leads to no script, no violation and no uncaught error,
// and the client tries again in its own time.
func TestPolicyOfThePage(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	b := browser.Start(t)
	for name, c := range map[string]struct {
		policy, options string
		failures        int // after which the test looks; with 6 comes the next transport
		violations      string
		scripts         bool
	}{
		"no jsonp":         {"script-src 'self'", "transports: ['sse', 'stream', 'poll']", 20, "", false},
		"no jsonp, strict": {"script-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'", "transports: ['sse', 'poll']", 20, "", false},
		"defaults":         {"script-src 'self'", "", 6, "", false},
		"trusted types":    {"require-trusted-types-for 'script'", "", 6, "", false},
		// The transport by script tag has its turn too, with a name for the policy.
		"jsonp's turn": {"require-trusted-types-for 'script'; trusted-types icomet", "transports: ['sse', 'jsonp']", 20, "", true},
		// What is forbidden is not tried again.
		"forbidden":       {"script-src 'self'", "transports: ['jsonp', 'sse']", 20, "script-src-elem", true},
		"forbidden types": {"require-trusted-types-for 'script'; trusted-types 'none'", "transports: ['jsonp', 'sse']", 20, "trusted-types", false},
	} {
		dead := servertest.NewProxy(t, "http://127.0.0.1:1") // accepts and closes
		site := newSite(t, s.Front)
		site.strict(dead.URL, c.policy)
		p := b.Open(t, site.URL+"/strict")
		p.Run(fmt.Sprintf(`let failures = 0;
			const comet = connect({channel: 'a', share: false, retryMax: 100, %s});
			comet.on('state', e => e.state === 'waiting' && ++failures === %d && comet.stop()); null`, c.options, c.failures))
		p.Want("comet.state", `"stopped"`)
		p.Want(fmt.Sprintf("[scripts.length > 0, [...new Set(violations)].join(), violations.length <= 2, %s]", js(name)),
			js([]any{c.scripts, c.violations, true, name}))
		if m := withoutPolicyReports(withoutNetworkErrors(p.Mistakes())); len(m) > 0 {
			t.Errorf("%s: errors in the page: %q", name, m)
		}
		p.Close()
	}
}

// withoutPolicyReports removes what the browser itself logs about violations.
func withoutPolicyReports(mistakes []string) (rest []string) {
	for _, m := range mistakes {
		if !strings.Contains(strings.ToLower(m), "content security policy") {
			rest = append(rest, m)
		}
	}
	return rest
}

// TestTrustedTypes: JSONP works in a page that lets only checked URLs become scripts.
func TestTrustedTypes(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	site := newSite(t, s.Front)
	site.strict(s.Front, "require-trusted-types-for 'script'")
	p := browser.Start(t).Open(t, site.URL+"/strict")
	// The admin port allows no other origin to read its answers.
	connect(p, "a", fmt.Sprintf("seq: 1, signUrl: '%s/sign', transports: ['jsonp']", s.Admin))
	s.WaitSubscribers("a", 1)
	s.Push("a", "m1")
	p.Want("got", `["m1"]`)
	p.Want("violations", "[]")
}

// TestSignRefused: a refusal of signUrl is an answer. It is not asked for again in another
// way, but once more after a while.
func TestSignRefused(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	site := newSite(t, s.Front)
	var calls atomic.Int64
	site.mux.HandleFunc("/sign", func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, s.Call("/sign", "cname", r.FormValue("cname")))
	})
	p := browser.Start(t).Open(t, site.URL)
	p.Run("window.waits = []; window.callsThen = 0")
	connect(p, "a", "signUrl: '/sign', retryMin: 1000, seq: 1")
	p.Run("comets[0].on('state', e => e.retryIn && waits.push(e.retryIn)); null")
	p.Want("comets[0].state", `"open"`)
	if n := calls.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
	p.Want("waits.length <= 1 && waits.every(w => w >= 500 && w <= 1000)", "true")
	if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
		t.Errorf("errors in the page: %q", m)
	}
}

// TestCredentials: cookies go to another origin, if it is listed by name.
func TestCredentials(t *testing.T) {
	s := servertest.Start(t)
	target, err := url.Parse(s.Front)
	if err != nil {
		t.Fatal(err)
	}
	site := newSite(t, s.Front)
	var without atomic.Int64
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		if _, err := r.In.Cookie("who"); err != nil && r.In.URL.Path != "/icomet.js" {
			without.Add(1)
		}
		r.SetURL(target)
	}, ModifyResponse: func(r *http.Response) error {
		r.Header.Set("Access-Control-Allow-Origin", site.URL)
		r.Header.Set("Access-Control-Allow-Credentials", "true")
		return nil
	}}
	push := newPlainServer(t, proxy)
	b := browser.Start(t)
	for _, name := range transports {
		p := b.Open(t, site.URL)
		p.Run("document.cookie = 'who=ada'")
		connect(p, name, fmt.Sprintf("seq: 1, credentials: 'include', subUrl: %q, transports: [%q]", push, name))
		s.Push(name, "m1")
		p.Want("got", `["m1"]`)
		p.WantNoMistakes()
		p.Close()
	}
	if n := without.Load(); n > 0 {
		t.Errorf("%d requests had no cookie", n)
	}
}
