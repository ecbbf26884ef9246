package dashboard_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"icomet/internal/version"
	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

const stateText = `document.getElementById('state')?.textContent`

// TestFromALink: a link on another site leads to the dashboard, which then works.
func TestFromALink(t *testing.T) {
	s := servertest.Start(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><title>elsewhere</title><a href="%[1]s/">dashboard</a> <a href="%[1]s/push?cname=a&content=x">push</a>`, s.Admin)
	}))
	t.Cleanup(page.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(page.URL, "http://"), ":")
	b := browser.Start(t)
	p := b.Open(t, "http://elsewhere.localhost:"+port+"/")
	click(p, "dashboard")
	p.Want(stateText, `"live"`)
	click(p, "Channels")
	p.Want(`document.querySelector('tbody')?.textContent.startsWith('There are no channels')`, "true")
	p.WantNoMistakes()

	p = b.Open(t, "http://elsewhere.localhost:"+port+"/")
	click(p, "push")
	p.Want(`document.body.textContent.includes('allow_origins')`, "true")
	if got := s.Call("/check", "cname", "a"); got != "{}\n" {
		t.Errorf("the link has published: %s", got)
	}
}

// TestBelowAPath: no request of the page leaves the path that a proxy has put it under,
// whatever is done in it. Two servers below one origin do not share a key.
func TestBelowAPath(t *testing.T) {
	s := servertest.Start(t, "ICOMET_ADMIN_KEYS=0123456789abcdef")
	target, err := url.Parse(s.Admin)
	if err != nil {
		t.Fatal(err)
	}
	var strays atomic.Pointer[string]
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/favicon.ico" {
			strays.Store(&r.URL.Path)
		}
		http.NotFound(w, r)
	})
	paths := []string{"/icomet/", "/ops/push/node-1/"}
	for _, path := range paths {
		proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
		mux.Handle(path, http.StripPrefix(strings.TrimSuffix(path, "/"), proxy))
	}
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close) // after the tabs, which hold connections
	p := browser.Start(t).Open(t, "about:blank")
	for _, path := range paths {
		p.Do(chromedp.Navigate(site.URL + path))
		p.Want(`document.activeElement.name`, `"key"`)
		p.Type("0123456789abcdef")
		p.Press("Enter")
		p.Want(stateText, `"live"`)
		p.Want(`[...document.images].every(i => i.complete && i.naturalWidth > 0)`, "true")
		click(p, "Configuration")
		p.Want(`document.querySelectorAll('.config').length > 3`, "true")
		p.Want(`[...document.querySelectorAll('.facts div')].filter(d => ['Version', 'Go', 'gnet'].includes(d.firstChild.textContent)).map(d => d.lastChild.textContent).join(' ').replace(/ v2[.0-9]+$/, ' gnet')`,
			strconv.Quote(version.Release+" "+runtime.Version()+" gnet"))
		subscribe(t, s, "stream", "a", 1)
		click(p, "Channels")
		p.Want(rowNames, `["a"]`)
		p.Press("/", "Tab", "Tab", "Enter")
		p.Want(`document.querySelector('h1')?.textContent`, `"a"`)
		click(p, "Publish…")
		p.Want(`document.activeElement.name`, `"content"`)
		p.Type("hello")
		click(p, "Publish")
		p.Want(tailTexts+`.at(-1).endsWith(' hello')`, "true")
		click(p, "Clear…")
		click(p, "Clear")
		p.Want(`document.getElementById('toast').textContent`, `"Cleared."`)
		click(p, "Close…")
		click(p, "Close the channel")
		p.Want(`document.querySelector('dd').textContent`, `"not there"`)
		click(p, "iComet")
		p.Want(`document.querySelectorAll('.chart canvas').length`, `9`)
	}
	if path := strays.Load(); path != nil {
		t.Errorf("a request went to %s", *path)
	}
	if m := withoutRefusals(p.Mistakes()); len(m) > 0 {
		t.Errorf("%q", m)
	}
}

// TestPointAtAChart: the time of the point under the mouse is shown in every chart, a
// horizontal line only in the one under the mouse.
func TestPointAtAChart(t *testing.T) {
	s := servertest.Start(t)
	p := open(t, browser.Start(t), s, "", wide)
	p.Want(`document.querySelectorAll('.chart canvas').length`, `9`)
	times := `[...new Set([...document.querySelectorAll('.chart time')].map(e => /^\d\d:\d\d:\d\d$/.test(e.textContent) ? 'a time' : e.textContent))]`
	p.Want(times, `[""]`)
	x, y := p.Hover(`document.querySelectorAll('.plot .u-over')[1]`)
	step := 1.0
	s.CheckFor(servertest.Patience, func() error { // a chart of one point may have none near the mouse
		x, step = x+step, -step // to and fro, since the page may need long
		p.MoveMouse(x, y)
		if got := p.Text(times + ".join()"); got != "a time" {
			return fmt.Errorf("times: %q", got)
		}
		return nil
	})
	p.Want(`[...document.querySelectorAll('.u-cursor-y')].map(e => getComputedStyle(e).display !== 'none')`,
		`[false,true,false,false,false,false,false,false,false]`)
	p.Want(`document.querySelectorAll('.u-cursor-x').length`, `9`)
	p.MoveMouse(5, 5)
	p.Want(times, `[""]`)
	p.WantNoMistakes()
}

// TestOldValues: while there is no news from the server, all views say that what they show
// is old, in words of our own.
func TestOldValues(t *testing.T) {
	s := servertest.Start(t)
	s.Push("a", "x")
	p := open(t, browser.Start(t), s, "", wide)
	old := `[document.body.classList.contains('old'), document.getElementById('stale').hidden, getComputedStyle(document.getElementById('main')).opacity < 1]`
	p.Want(stateText, `"live"`)
	p.Want(old, `[false,true,false]`)
	s.Kill()
	p.Want(old, `[true,false,true]`)
	p.Want(`/^What is shown is of \d\d:\d\d:\d\d: /.test(document.getElementById('stale').textContent)`, "true")
	for view, status := range map[string]string{
		"#/channels": `document.querySelector('.pager [role=status]')?.textContent`, "#/channel/a": `document.querySelector('section [role=status]')?.textContent`,
		"#/config": `document.querySelector('.columns')?.textContent`,
	} {
		p.Run("location.hash = '" + view + "'")
		p.Want(status, `"The server does not answer."`)
		p.Want(old, `[true,false,true]`)
	}
	p.Run("location.hash = '#/channel/a'")
	click(p, "Publish…")
	p.Want(`document.activeElement.name`, `"content"`)
	p.Type("x")
	click(p, "Publish")
	p.Want(`document.getElementById('toast').textContent`, `"The server does not answer."`)
	s.Restart()
	p.Want(stateText, `"live"`)
	p.Want(old, `[false,true,false]`)
	if m := withoutRefusals(p.Mistakes()); len(m) > 0 {
		t.Errorf("%q", m)
	}
}

// TestProxyError: the error page of a proxy is not shown as text.
func TestProxyError(t *testing.T) {
	s := servertest.Start(t)
	target, err := url.Parse(s.Admin)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/dashboard/channel") && !strings.HasSuffix(r.URL.Path, ".js") {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(502)
			fmt.Fprint(w, "<html><h1>502 Bad Gateway</h1></html>")
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(site.Close) // after the tabs, which hold connections
	p := browser.Start(t).Open(t, site.URL+"/#/channels")
	p.Want(`document.querySelector('.pager [role=status]')?.textContent`, `"The server's answer has the status 502."`)
}

// TestImpossibleName: a name that no channel can have is told in a sentence, and not asked
// for every second.
func TestImpossibleName(t *testing.T) {
	s := servertest.Start(t)
	b := browser.Start(t)
	for name, sentence := range map[string]string{
		strings.Repeat("x", 256):      "There is no such channel: a name has 1 to 255 bytes, this one has 256.",
		strings.Repeat("%C3%A4", 128): "There is no such channel: a name has 1 to 255 bytes, this one has 256.",
		"":                            "There is no such channel: a name has 1 to 255 bytes, this one has 0.",
		"a%00b":                       "", // the server's own sentence
	} {
		p := open(t, b, s, "#/channel/"+name, wide)
		p.Want(stateText, `"live"`)
		status := `document.querySelector('main [role=status]')?.textContent`
		if sentence != "" {
			p.Want(status, fmt.Sprintf("%q", sentence))
		} else {
			p.Want(`/NUL|cname/i.test(`+status+`)`, "true")
		}
		p.Run("new Promise(r => setTimeout(r, 2500))") // two more looks would fit into it
		p.Want(`performance.getEntriesByType('resource').filter(e => e.name.includes('/dashboard/channel?')).length <= 1`, "true")
		p.Close()
	}
	p := open(t, b, s, "#/channel/"+strings.Repeat("x", 255), wide)
	p.Want(`document.querySelector('dd')?.textContent`, `"not there"`)
}

// TestWithoutStorage: the page works where the browser forbids storage.
func TestWithoutStorage(t *testing.T) {
	s := servertest.Start(t, "ICOMET_ADMIN_KEYS=0123456789abcdef")
	p := browser.Start(t).Open(t, s.Admin+"/", browser.Before(`for (const kind of ['localStorage', 'sessionStorage']) {
		Object.defineProperty(window, kind, { get() { throw new DOMException('access is denied', 'SecurityError') } });
	}`))
	p.Want(`document.activeElement.name`, `"key"`)
	p.Type("0123456789abcdef")
	p.Press("Enter")
	p.Want(stateText, `"live"`)
	click(p, "◐ Auto")
	p.Want(`document.documentElement.dataset.theme`, `"dark"`)
	click(p, "1 min")
	p.Want(`document.querySelectorAll('.chart canvas').length`, `9`)
	if m := withoutRefusals(p.Mistakes()); len(m) > 0 {
		t.Errorf("%q", m)
	}
}

// TestTail: sizes are those of the content as it was sent; a message has the time of its
// arrival, unless it was there before the page.
func TestTail(t *testing.T) {
	s := servertest.Start(t)
	s.Push("a", `"quoted"`+"\n")
	p := open(t, browser.Start(t), s, "#/channel/a", wide)
	p.Want(lastMarks, `"stored, 9 B"`)
	s.Push("a", strings.Repeat(`"`, 3000)) // 6000 bytes of JSON
	p.Want(`document.querySelectorAll('.tail li').length`, "2")
	p.Want(`/^\d\d:\d\d:\d\d, 2.9 KiB, its beginning$/.test(`+lastMarks+`)`, "true")
	s.Push("a", "😀\u2028")
	p.Want(`/^\d\d:\d\d:\d\d, 7 B$/.test(`+lastMarks+`)`, "true")
	s.Call("/clear", "cname", "a")
	p.Want(tailTexts+`.at(-1)`, `"· Cleared: what was stored is dropped."`)
	p.WantNoMistakes()
}
