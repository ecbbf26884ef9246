package dashboard_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// TestPositions: the list and the channel's page show the epoch, the end, the class and the
// age of the oldest message; a channel that was made again is told from the old one.
func TestPositions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "icomet.toml")
	if err := os.WriteFile(file, []byte("[[channels]]\nmatch = \"answer.*\"\nbuffer_size = 100\ntimeout = 3600\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.StartWith(t, file, "ICOMET_FRONT_CHANNEL_TIMEOUT=3600")
	s.Push("answer.1", "the answer")
	epoch := func(cname string) string {
		var answer struct{ Epoch string }
		if err := json.Unmarshal([]byte(s.Call("/push", "cname", cname, "content", "x", "position", "1")), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Epoch
	}
	first := epoch("answer.1")
	s.Call("/end", "cname", "answer.1")
	s.Call("/sign", "cname", "silent", "expires", "3600")

	b := browser.Start(t)
	list := open(t, b, s, "#/channels?sort=name", wide)
	cells := `[...document.querySelectorAll('.channels tbody tr')].map(r => [...r.children].slice(4).map(e => e.textContent))`
	list.Want("["+cells+"[0][0], "+cells+"[0][2]]", `["ended3","answer.*"]`)
	list.Want(`/^\d+ (s|min)/.test(`+cells+`[0][1])`, "true")
	list.Want(cells+`[0][3]`, `"`+first+`"`)
	list.Want(cells+`[1].slice(0, 3)`, `["1","–","–"]`)

	p := open(t, b, s, "#/channel/answer.1", wide)
	p.Want(`/^ended, no subscriber, expires in 5\d min/.test(`+fact(0)+`)`, "true")
	p.Want(`/^\d+ (s|min .*) old$/.test(`+fact(4)+`)`, "true")
	p.Want("["+fact(5)+","+fact(6)+"]", `["`+first+`","answer.*"]`)
	s.Call("/close", "cname", "answer.1")
	p.Want(fact(0), `"not there"`)
	p.Want("["+fact(4)+","+fact(5)+","+fact(6)+"]", `["–","–","–"]`)

	// Made again between two looks, and past the old number.
	s.Push("b", "old")
	other := open(t, b, s, "#/channel/b", wide)
	other.Want(tailTexts, `["1 old"]`)
	// It does not see the channel go.
	other.Run(`window.real = fetch; window.fetch = async () => { throw new TypeError('away') }; null`)
	other.Want(`document.querySelector('.card .quiet').textContent`, `"The server does not answer."`)
	s.Call("/close", "cname", "b")
	for i := range 4 {
		s.Push("b", fmt.Sprint("new ", i+1))
	}
	other.Run(`window.fetch = real; null`)
	other.Want(tailTexts, `["1 old","· The channel is another one: it was closed, or had expired, and was made again.","1 new 1","2 new 2","3 new 3","4 new 4"]`)
	list.WantNoMistakes()
	p.WantNoMistakes()
}
