package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// limit bounds one step on a page.
const limit = 60 * time.Second

// Browser is a person's browser: its tabs share cookies, storage and workers with each
// other and with no other Browser.
type Browser struct {
	ctx context.Context
}

// chromium is the one process that all browsers of a test binary run in: to start one
// takes seconds.
var chromium struct {
	once sync.Once
	ctx  context.Context
	end  func()
	err  error
}

// trusted is the hash of the certificate key that Chromium takes without an authority.
var trusted string

// Trust has the browsers take certificates with a key of this hash (SHA-256 of the public
// key, base64). TestMain calls it before the tests.
func Trust(hash string) { trusted = hash }

// Start opens a browser until the end of the test.
func Start(t testing.TB) *Browser {
	t.Helper()
	chromium.once.Do(func() { chromium.ctx, chromium.end, chromium.err = launch() })
	if chromium.err != nil {
		t.Fatalf("starting chromium: %v", chromium.err)
	}
	ctx, end := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a browser: %v", err)
	}
	return &Browser{ctx}
}

// Stop ends Chromium, if a test has started it. TestMain calls it after the tests.
func Stop() {
	if chromium.end != nil {
		chromium.end()
	}
}

func launch() (ctx context.Context, end func(), err error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, nil, fmt.Errorf("%w: make test installs it", err)
	}
	profile, err := os.MkdirTemp("", "icomet-chromium-")
	if err != nil {
		return nil, nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.WindowSize(1000, 800),
		chromedp.WSURLReadTimeout(limit), // a busy machine needs long
	}
	for _, f := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "hide-scrollbars",
		"disable-background-networking", "disable-component-update", "disable-sync",
		// A page that does not have the focus must not starve on a busy machine.
		"disable-renderer-backgrounding", "disable-backgrounding-occluded-windows", "disable-background-timer-throttling",
	} {
		options = append(options, chromedp.Flag(f, true))
	}
	if trusted != "" {
		options = append(options, chromedp.Flag("ignore-certificate-errors-spki-list", trusted))
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endContext := chromedp.NewContext(allocator)
	end = func() {
		_ = chromedp.Cancel(ctx) // waits for the process, because its profile is removed next
		endContext()
		endAllocator()
		os.RemoveAll(profile)
	}
	if err := chromedp.Do(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return ctx, end, nil
}

// Page is one tab. Its methods belong to the goroutine of the test, and fail the test on
// an error or after 60 s.
type Page struct {
	t    testing.TB
	ctx  context.Context
	read sync.WaitGroup // reads the console

	mu       sync.Mutex
	mistakes []string
}

// Open opens a page in a new tab and waits until it has loaded. It carries out first
// before that.
func (b *Browser) Open(t testing.TB, url string, first ...chromedp.Action[chromedp.Void]) *Page {
	t.Helper()
	ctx, end := chromedp.NewContext(b.ctx)
	p := &Page{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil { // no deadline: the tab lives as long as this context
		t.Fatalf("opening a tab: %v", err)
	}
	console := chromedp.Console(ctx)
	p.read.Go(func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == "error" || m.Type == "assert" || m.IsException() {
				p.mu.Lock()
				p.mistakes = append(p.mistakes, m.String())
				p.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		end()
		p.read.Wait()
	})
	// As if its person looked at it: what is in the background loads and runs when it may.
	Call(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	p.Do(append(first, chromedp.Navigate(url))...)
	return p
}

// Before runs a script in every page that is loaded from now on, before the page's own.
func Before(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	})
}

// Do carries out actions.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("in the page: %v\nits errors: %q", err, p.last())
	}
}

// Run evaluates JavaScript, and waits for the result if it is a promise.
func (p *Page) Run(script string) {
	p.t.Helper()
	p.Do(chromedp.Evaluate[chromedp.Void](script, chromedp.EvalAwaitPromise))
}

// Text returns the value of an expression that is a text, or a promise of one.
func (p *Page) Text(expression string) string {
	p.t.Helper()
	text, err := p.evaluate(expression)
	if err != nil {
		p.t.Fatalf("%s: %v\nerrors in the page: %q", expression, err, p.last())
	}
	return text
}

func (p *Page) evaluate(expression string) (string, error) {
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
}

// Want waits until the value of the expression, as JSON, is want. An exception means that
// there is no value yet: while a page loads, parts of it may be missing.
func (p *Page) Want(expression, want string) {
	p.t.Helper()
	want = canonical(want)
	// Each look takes the page's thread before its own work: on a busy machine frequent
	// looks would keep the page from ever getting there.
	pause := 20 * time.Millisecond
	for end := time.Now().Add(limit); ; <-time.After(pause) {
		pause = min(2*pause, time.Second)
		text, err := p.evaluate("String(JSON.stringify(" + expression + "))")
		got := canonical(text)
		if err == nil && got == want {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s is %s (%v), want %s\nerrors in the page: %q", expression, got, err, want, p.last())
		}
	}
}

// canonical writes JSON in a single form.
func canonical(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text // undefined
	}
	b, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(b)
}

// Mistakes returns the exceptions and the errors in the console so far.
func (p *Page) Mistakes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.mistakes...)
}

// last returns the newest mistakes, for the text of a failure.
func (p *Page) last() []string {
	m := p.Mistakes()
	return m[max(0, len(m)-5):]
}

// WantNoMistakes fails the test if there are exceptions or errors in the console.
func (p *Page) WantNoMistakes() {
	p.t.Helper()
	if m := p.Mistakes(); len(m) > 0 {
		p.t.Errorf("errors in the page:\n%s", strings.Join(m, "\n"))
	}
}

// Close closes the tab.
func (p *Page) Close() {
	_ = chromedp.Cancel(p.ctx) // the browser may be ending
}

// Call runs a command of the DevTools protocol in the page.
func Call[P, R any](p *Page, cmd cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	r, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		p.t.Fatalf("%v: %v", cmd.Method, err)
	}
	return r
}

// Screenshot writes what the page shows to a PNG file.
func (p *Page) Screenshot(path string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("screenshot: %v", err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
