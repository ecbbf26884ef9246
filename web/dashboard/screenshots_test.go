package dashboard_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// shots is where TestScreenshots writes its pictures, for a person to look at.
var shots = flag.String("shots", "", "directory for screenshots")

// publishSome publishes to the channels until the end of the test, at a varying rate. It
// uses one connection, because the system does not have enough ports for one per message.
func publishSome(t *testing.T, s *servertest.Server, channels ...string) {
	client := &http.Client{Transport: &http.Transport{}}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for k := range 1 + i/500%4 {
				resp, err := client.PostForm(s.Admin+"/push", url.Values{
					"cname": {channels[k%len(channels)]}, "content": {fmt.Sprintf(`{"minute": %d, "score": "2:1", "event": "corner"}`, i%90)},
				})
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		client.CloseIdleConnections()
	})
}

// TestScreenshots shows all views, and writes pictures of them if -shots is set.
func TestScreenshots(t *testing.T) {
	file := filepath.Join(t.TempDir(), "icomet.toml")
	if err := os.WriteFile(file, []byte("[[channels]]\nmatch = \"match/*\"\nbuffer_size = 100000\n[[channels]]\nmatch = \"answer.*\"\nbuffer_size = 1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.StartWith(t, file, "ICOMET_FRONT_CHANNEL_TIMEOUT=3600")
	s.Call("/end", "cname", "answer.57", "content", "That was all.")
	for i, n := range []int{14, 9, 6, 3, 2, 2, 1, 1} {
		name := []string{"match/7421", "match/7422", "news", "auction/vase", "chat/lobby", "chat/team-red", "orders/18", "orders/19"}[i]
		subscribe(t, s, []string{"sse", "stream", "iframe"}[i%3], name, n)
	}
	b := browser.Start(t)
	publishSome(t, s, "match/7421", "match/7422", "news")
	first := open(t, b, s, "", wide)
	first.Want(`document.getElementById('state')?.textContent`, `"live"`)
	rows := `Number(document.querySelector('.tile small').textContent.length) > 0 && performance.now() > 25000`
	if *shots != "" {
		first.Want(rows, "true") // so that the charts have lines
	}
	for _, v := range []struct {
		name, hash, ready string
		width, height     int64
	}{
		{"overview", "", `document.querySelectorAll('.tile').length`, wide, 972},
		{"channels", "#/channels", rowNames + `.length`, wide, 620},
		{"channel", "#/channel/match%2F7421", `document.querySelectorAll('.tail li').length`, wide, 720},
		{"config", "#/config", `document.querySelectorAll('.config').length && document.querySelectorAll('.facts').length`, wide, 1400},
		{"overview", "", `document.querySelectorAll('.tile').length`, narrow, 770},
		{"channels", "#/channels", rowNames + `.length`, narrow, 720},
		{"channel", "#/channel/match%2F7421", `document.querySelectorAll('.tail li').length`, narrow, 800},
		{"config", "#/config", `document.querySelectorAll('.config').length && document.querySelectorAll('.facts').length`, narrow, 1400},
	} {
		for _, theme := range []string{"light", "dark"} {
			p := b.Open(t, s.Admin+"/"+v.hash, chromedp.EmulateViewport(v.width, v.height))
			if theme == "dark" {
				dark(p)
			}
			p.Want(v.ready+" > 0", "true")
			p.Want(`document.getElementById('state')?.textContent`, `"live"`)
			fits(t, p)
			p.WantNoMistakes()
			if *shots != "" {
				p.Screenshot(filepath.Join(*shots, fmt.Sprintf("%s-%d-%s.png", v.name, v.width, theme)))
			}
			p.Close()
		}
	}
}
