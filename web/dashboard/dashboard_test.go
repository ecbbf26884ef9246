package dashboard_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"icomet/internal/selfsigned"
	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

func TestMain(m *testing.M) {
	browser.Trust(servertest.CertificateHash())
	servertest.Main(m, browser.Stop)
}

const (
	wide   = 1280
	narrow = 360
)

// open opens a view of the dashboard.
func open(t *testing.T, b *browser.Browser, s *servertest.Server, view string, width int64) *browser.Page {
	t.Helper()
	return b.Open(t, s.Admin+"/"+view, chromedp.EmulateViewport(width, 800))
}

// dark puts the page into the dark theme, as the system's setting does.
func dark(p *browser.Page) {
	browser.Call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
}

// subscribe holds n streams open and reads them until the end of the test.
func subscribe(t *testing.T, s *servertest.Server, transport, cname string, n int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	for range n {
		resp, err := client.Get(s.Front + "/" + transport + "?cname=" + url.QueryEscape(cname))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, resp.Body) // until the test or the server ends it
		}()
		t.Cleanup(func() {
			resp.Body.Close()
			<-done
		})
	}
}

// fits fails the test if the page is wider than the window, so that it would scroll
// sideways on a phone.
func fits(t *testing.T, p *browser.Page) {
	t.Helper()
	p.Want("document.documentElement.scrollWidth <= innerWidth", "true")
}

const rowNames = `[...document.querySelectorAll('.channels td.name')].map(e => e.textContent)`

// click clicks the first visible button or link with this text.
func click(p *browser.Page, text string) {
	p.Click(fmt.Sprintf(`[...(document.querySelector('dialog') ?? document).querySelectorAll('button, a, label')]
		.find(e => e.textContent.trim() === %q && !e.disabled && e.getClientRects().length > 0)`, text))
}

// TestOverview: totals and charts move, in wide and narrow windows, and the console has
// no errors.
func TestOverview(t *testing.T) {
	s := servertest.Start(t)
	b := browser.Start(t)
	subscribe(t, s, "stream", "news", 3)
	subscribe(t, s, "sse", "news", 2)
	for _, width := range []int64{wide, narrow} {
		p := open(t, b, s, "", width)
		p.Want(`document.getElementById('state')?.textContent`, `"live"`)
		p.Want(`document.querySelectorAll('.chart canvas').length`, `9`)
		tile := func(label string) string {
			return fmt.Sprintf(`[...document.querySelectorAll('.tile')].find(e => e.firstChild.textContent === %q)?.lastChild.firstChild.textContent`, label)
		}
		p.Want(tile("Subscribers"), `"5"`)
		p.Want(`document.querySelector('.chart .legend')?.textContent`, `"poll 0stream 3sse 2iframe 0websocket 0"`)
		s.Push("news", "hello")
		p.Want(`/^Deliveries: live [^0–]/.test(document.querySelectorAll('.plot')[2]?.getAttribute('aria-label'))`, "true")
		p.Want(`[...document.querySelectorAll('.grid h2')].slice(-3).map(e => e.textContent)`,
			`["Event loops","Closed, since the start","Refused, since the start"]`)
		fits(t, p)
		p.WantNoMistakes()
		p.Close()
	}
	s.CheckFor(servertest.Patience, func() error { // closed tabs leave no connection
		if m := metrics(t, s); !strings.Contains(m, `icomet_connections{role="admin",transport="dashboard"} 0`) {
			return fmt.Errorf("the feed of a closed page is still there")
		}
		return nil
	})
}

// TestOverviewTLS: the dashboard over TLS is live, shows handshakes and when certificates
// end, and marks one that ends within 14 days.
func TestOverviewTLS(t *testing.T) {
	authority, err := selfsigned.New("soon")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue(selfsigned.Options{Names: []string{"soon.test"}, NotAfter: time.Now().Add(5*24*time.Hour + time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := issued.Write(t.TempDir(), "soon")
	if err != nil {
		t.Fatal(err)
	}
	s := servertest.StartTLS(t, "ICOMET_FRONT_TLS_CERTIFICATES="+servertest.Certificate()+","+certificate+":"+key)
	b := browser.Start(t)
	for _, width := range []int64{wide, narrow} {
		p := open(t, b, s, "", width)
		p.Want(`document.getElementById('state')?.textContent`, `"live"`)
		p.Want(`[...document.querySelectorAll('.grid h2')].slice(-5).map(e => e.textContent)`,
			`["TLS handshakes","Certificates","Event loops","Closed, since the start","Refused, since the start"]`)
		const rows = `[...[...document.querySelectorAll('.grid section')].at(%d).querySelectorAll('tbody tr')].map(r => [...r.cells].%s)`
		p.Want(fmt.Sprintf(rows, -4, `map(c => c.textContent).toSpliced(2, 1)`), `[["icomet.test","front","29"],["soon.test","front","5"],["icomet.test","admin","29"]]`)
		p.Want(fmt.Sprintf(rows, -4, `at(-1).firstChild.className`), `["","pill warn",""]`)
		const done = `Number(document.querySelectorAll('.grid:not(.charts) section')[0].querySelectorAll('tbody tr')[1].cells[1].textContent)`
		before, err := strconv.Atoi(p.Text("String(" + done + ")"))
		if err != nil || before < 1 {
			t.Errorf("%d handshakes of the admin port, %v", before, err)
		}
		s.Push("news", "hello") // a connection of its own
		p.Want(done+" > "+strconv.Itoa(before), "true")
		fits(t, p)
		p.WantNoMistakes()
		p.Close()
	}
}

func metrics(t *testing.T, s *servertest.Server) string {
	t.Helper()
	status, body, err := servertest.Get(s.Admin + "/metrics")
	if err != nil || status != 200 {
		t.Fatal(status, err)
	}
	return body
}

// TestChannelList: search, sort, pages, and the link to a channel.
func TestChannelList(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=3600")
	for i := range 120 {
		s.Push(fmt.Sprintf("room-%03d", i), "x")
	}
	subscribe(t, s, "stream", "room-077", 2)
	subscribe(t, s, "stream", "<b>Lobby & \"co\"</b>", 1)
	p := open(t, browser.Start(t), s, "#/channels", wide)
	list := func(names string) { t.Helper(); p.Want(rowNames, names) }
	p.Want(rowNames+`.slice(0, 3)`, `["room-077", "<b>Lobby & \"co\"</b>", "room-000"]`)
	p.Want(`document.querySelector('.pager [role=status]')?.textContent`, `"121 channels"`)
	p.Want(rowNames+`.length`, `50`)
	click(p, "Next →")
	p.Want(rowNames+`[0]`, `"room-048"`)
	click(p, "Next →")
	p.Want(`[`+rowNames+`.length, `+rowNames+`.at(-1), document.querySelector('.pager span')?.textContent]`, `[21, "room-119", "Page 3"]`)
	p.Want(`[...document.querySelectorAll('.pager button')].map(b => b.disabled)`, `[false, true]`)
	click(p, "← Previous")
	p.Want(rowNames+`[0]`, `"room-048"`)

	p.Press("/")
	p.Type("lobby")
	list(`["<b>Lobby & \"co\"</b>"]`)
	p.Want(`location.hash`, `"#/channels?search=lobby&sort=subscribers"`)
	p.Fill("room-07")
	p.Press("Enter")
	p.Want(rowNames+`.length`, `10`)
	p.Press("Tab")
	p.Type("N") // chooses Name
	p.Want(`document.querySelector('select').value`, `"name"`)
	p.Want(rowNames+`[0]`, `"room-070"`)
	p.Press("Shift+Tab")
	p.Fill("nobody")
	list(`[]`)
	p.Want(`document.querySelector('tbody')?.textContent`, `"No channel has this in its name."`)
	click(p, "Open “nobody”")
	p.Want(`document.querySelector('h1')?.textContent`, `"nobody"`)
	p.WantNoMistakes()

	n := open(t, browser.Start(t), s, "#/channels?search=lobby", narrow)
	n.Want(rowNames, `["<b>Lobby & \"co\"</b>"]`)
	fits(t, n)
	n.Press("/", "Tab", "Tab", "Tab", "Enter") // by keyboard: the list may be drawn anew below a mouse
	n.Want(`document.querySelector('h1')?.textContent`, `"<b>Lobby & \"co\"</b>"`)
	fits(t, n)
	n.WantNoMistakes()
}

// TestRates: the most active channel comes first, with its messages a second.
func TestRates(t *testing.T) {
	s := servertest.Start(t)
	s.Push("quiet", "x")
	p := open(t, browser.Start(t), s, "#/channels?sort=rate", wide)
	s.CheckFor(servertest.Patience, func() error {
		s.Push("loud", "x")
		got := p.Text(`[...document.querySelectorAll('.channels tbody tr')].map(r => r.children[0].textContent + ' ' + (parseFloat(r.children[2].textContent) > 0)).join()`)
		if got != "loud true,quiet false" {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	p.WantNoMistakes()
}

const tailTexts = `[...document.querySelectorAll('.tail li')].map(e => e.children[0].textContent + ' ' + e.children[1].textContent)`

const lastMarks = `document.querySelector('.tail li:last-child small').textContent`

func fact(i int) string {
	return fmt.Sprintf(`document.querySelectorAll('.facts dd')[%d]?.textContent`, i)
}

// TestChannel: looking at a channel does not create it or count as a subscriber; each
// action asks for confirmation.
func TestChannel(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=3", "ICOMET_FRONT_CHANNEL_TIMEOUT=3600")
	p := open(t, browser.Start(t), s, "#/channel/a%2Fb%20%C3%A4", wide)
	p.Want(`document.querySelector('h1')?.textContent`, `"a/b ä"`)
	p.Want(fact(0), `"not there"`)
	p.Want(`[...document.querySelectorAll('.buttons button')].map(b => b.disabled)`, `[false, true, true]`)
	if got := s.Call("/info"); !strings.Contains(got, `"channels": 0, "subscribers": 0`) {
		t.Errorf("looking has made something: %s", got)
	}

	click(p, "Publish…")
	p.Type("<i>one</i>")
	p.Press("Enter")
	p.Type("\"two\"")
	click(p, "Publish")
	p.Want(`document.getElementById('toast')?.textContent`, `"Published."`)
	p.Want(tailTexts, `["· The channel is there.", "1 <i>one</i>\n\"two\""]`)
	subscribe(t, s, "stream", "a/b ä", 2)
	p.Want(fact(1), `"2"`)
	p.Want(fact(0), `"subscribed"`)

	p.Run(`document.querySelector('.tail').replaceChildren()`)
	click(p, "Pause")
	for i := range 9 { // more than the buffer holds
		s.Push("a/b ä", fmt.Sprint("m", i))
	}
	s.Call("/broadcast", "content", "to all")
	p.Want(fact(3), `"12"`)
	click(p, "Pause")
	p.Want(tailTexts, `["· 7 left the buffer before they could be shown", "9 m7", "10 m8", "11 to all"]`)
	p.Want(lastMarks+`.replace(/\d\d:\d\d:\d\d/, 'TIME')`, `"broadcast, TIME, 6 B"`)
	s.Push("a/b ä", strings.Repeat("ä", 5000))
	p.Want(lastMarks+`.endsWith(', 9.8 KiB, its beginning')`, "true")
	p.Want(`document.querySelector('.tail li:last-child span').textContent.length`, "2049")

	click(p, "Clear…")
	click(p, "Cancel")
	p.Want(`document.querySelector('dialog')`, `null`)
	p.Want(fact(2), `"3 (from 10)"`)
	click(p, "Clear…")
	p.Want(`document.activeElement.textContent`, `"Cancel"`) // Enter changes nothing
	click(p, "Clear")
	p.Want(fact(2), `"0 (from 13)"`)
	p.Want(tailTexts+`.at(-1)`, `"· Cleared: what was stored is dropped."`)

	click(p, "Close…")
	p.Want(`document.querySelector('dialog p')?.textContent`, `"The channel is freed, and 2 subscribers told that it is closed."`)
	click(p, "Close the channel")
	p.Want(fact(0), `"not there"`)
	p.Want(tailTexts+`.at(-1)`, `"· The channel is gone: closed, or its time was over."`)
	if got := s.Call("/info"); !strings.Contains(got, `"channels": 0, "subscribers": 0`) {
		t.Errorf("after the close: %s", got)
	}
	s.Push("a/b ä", "anew")
	p.Want(tailTexts+`.at(-1)`, `"1 anew"`)
	p.WantNoMistakes()
}

// TestKey: the page asks for the key until it is right, remembers it for the tab, and
// forgets it on request.
func TestKey(t *testing.T) {
	const key = "0123456789abcdef-secret"
	s := servertest.Start(t, "ICOMET_ADMIN_KEYS="+key)
	p := open(t, browser.Start(t), s, "#/config", wide)
	for _, wrong := range []string{"wrong", key + "x"} {
		p.Want(`document.activeElement.name`, `"key"`)
		p.Run(`document.querySelector('dialog').className = 'answered'`)
		p.Type(wrong)
		p.Press("Enter")
		p.Want(`document.querySelector('dialog:not(.answered) p')?.textContent.startsWith('This key is not accepted.')`, "true")
	}
	p.Want(`document.activeElement.name`, `"key"`)
	p.Type(key)
	p.Press("Enter")
	p.Want(`document.getElementById('state')?.textContent`, `"live"`)
	value := func(name string) string {
		return fmt.Sprintf(`[...document.querySelectorAll('.config tr')].find(r => r.firstChild.textContent === %q)?.lastChild.textContent`, name)
	}
	p.Want(value("keys"), `"set, hidden changed"`)
	p.Want(value("max_channels"), `"1000000 "`)
	p.Want(value("drain_timeout"), `"100ms changed"`)
	if text := p.Text(`document.documentElement.outerHTML`); strings.Contains(text, key) {
		t.Error("the key is in the page")
	}
	p.Do(chromedp.Reload())
	p.Want(`document.getElementById('state')?.textContent`, `"live"`)
	click(p, "Forget key")
	p.Want(`document.querySelector('dialog h2')?.textContent`, `"Admin key"`)
	// After a cancelled question, the page asks again only on request.
	click(p, "Cancel")
	p.Want(`document.getElementById('state')?.textContent`, `"locked"`)
	p.Want(`document.querySelector('dialog')`, `null`)
	click(p, "Enter key")
	p.Want(`document.activeElement.name`, `"key"`)
	p.Type(key)
	p.Press("Enter")
	p.Want(`document.getElementById('state')?.textContent`, `"live"`)
	if m := withoutRefusals(p.Mistakes()); len(m) > 0 {
		t.Errorf("%q", m)
	}
}

// withoutRefusals removes what the browser itself logs about an error status or a
// connection that fails.
func withoutRefusals(mistakes []string) (rest []string) {
	for _, m := range mistakes {
		if !strings.Contains(m, "Failed to load resource") && !strings.Contains(m, "net::ERR_") {
			rest = append(rest, m)
		}
	}
	return rest
}

// TestServerGoesAndComes: the page shows that the server is away, and continues without
// help.
func TestServerGoesAndComes(t *testing.T) {
	s := servertest.Start(t)
	p := open(t, browser.Start(t), s, "", wide)
	p.Want(`document.getElementById('state')?.textContent`, `"live"`)
	s.Kill()
	p.Want(`document.getElementById('state')?.textContent`, `"connection lost"`)
	s.Restart()
	p.Want(`document.getElementById('state')?.textContent`, `"live"`)
	if m := withoutRefusals(p.Mistakes()); len(m) > 0 {
		t.Errorf("%q", m)
	}
}

// TestKeyboard: everything can be reached and done without a mouse.
func TestKeyboard(t *testing.T) {
	s := servertest.Start(t)
	s.Push("a", "x")
	p := open(t, browser.Start(t), s, "", wide)
	p.Want(`document.getElementById('state')?.textContent`, `"live"`)
	focused := func(text string) {
		t.Helper()
		p.Want(`document.activeElement.textContent.trim()`, `"`+text+`"`)
	}
	for _, stop := range []string{"Skip to the content", "iComet", "Overview", "Channels"} {
		p.Press("Tab")
		focused(stop)
	}
	p.Press("Enter")
	p.Want(rowNames, `["a"]`)
	p.Press("/")
	p.Want(`document.activeElement.type`, `"search"`)
	p.Press("Tab", "Tab")
	focused("a")
	p.Press("Enter")
	p.Want(`document.querySelector('h1')?.textContent`, `"a"`)
	p.Want(`document.querySelectorAll('.buttons button')[2]?.disabled`, `false`)
	for _, stop := range []string{"← Channels", "Publish…", "Clear…", "Close…"} {
		p.Press("Tab")
		focused(stop)
	}
	p.Press("Enter")
	focused("Cancel")
	p.Press("Escape") // Escape closes the dialog, and does not change the channel
	p.Want(`document.querySelector('dialog')`, `null`)
	focused("Close…")
	if got := s.Call("/check", "cname", "a"); got != "{\"a\": 1}\n" {
		t.Errorf("the channel: %s", got)
	}
	p.WantNoMistakes()
}

// TestTheme: the theme follows the system, or what is chosen; a reload keeps it.
func TestTheme(t *testing.T) {
	s := servertest.Start(t)
	p := open(t, browser.Start(t), s, "", wide)
	theme := `document.documentElement?.dataset.theme`
	p.Want(theme, `"light"`)
	dark(p)
	p.Want(theme, `"dark"`)
	click(p, "◐ Auto")
	click(p, "● Dark")
	p.Want(theme, `"light"`)
	p.Run(`location.reload()`)
	p.Want(theme, `"light"`)
	p.Want(`document.querySelector('#theme')?.textContent`, `"○ Light"`)
	p.WantNoMistakes()
}
