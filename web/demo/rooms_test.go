package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// TestRooms: a person with one connection is in several rooms, all of it by keyboard. A
// text goes to the room that is shown, and the others count what is new.
func TestRooms(t *testing.T) {
	chat, s := startChat(t)
	ada, bob := browser.Start(t).Open(t, chat.URL), browser.Start(t).Open(t, chat.URL)
	join(ada, "Ada", "lobby")
	say(ada, "in the lobby")
	another := func(p *browser.Page, room string) {
		t.Helper()
		for _, id := range []string{"scroll", "", "more-room"} { // the one without a name is the button
			p.Press("Shift+Tab")
			p.Want("document.activeElement.id", strconv.Quote(id))
		}
		p.Type(room)
		p.Press("Enter")
		p.Want("document.getElementById('title').textContent", strconv.Quote(room))
		p.Want("document.activeElement.id", `"text"`)
		p.Want("document.getElementById('state').dataset.state", `"open"`)
	}
	ada.Type("not sent yet")
	another(ada, "garden")
	ada.Want("document.activeElement.value", `""`)
	ada.Want(bubbles, "[]")
	say(ada, "in the garden")
	ada.Want(bubbles, `["in the garden"]`)
	join(bob, "Bob", "lobby")
	bob.Want(bubbles, `["in the lobby"]`)
	say(bob, "hello, lobby")
	const tabs = "[...document.querySelectorAll('.tab')].map(t => t.textContent + (t.ariaCurrent ? '!' : ''))"
	ada.Want(tabs, `["#lobby1","#garden!"]`)
	ada.Want(bubbles, `["in the garden"]`)
	another(bob, "garden")
	bob.Want(bubbles, `["in the garden"]`)
	say(bob, "hello, garden")
	ada.Want(bubbles, `["in the garden","hello, garden"]`)

	// Back to the lobby: its tab is before the field for another room.
	for _, what := range []string{"scroll", "", "more-room", ""} {
		ada.Press("Shift+Tab")
		ada.Want("document.activeElement.id", strconv.Quote(what))
	}
	ada.Press("Shift+Tab", "Enter")
	ada.Want("document.title", `"#lobby · iComet chat"`)
	ada.Want("document.activeElement.value", `"not sent yet"`)
	ada.Press("!", "Enter")
	ada.Want(bubbles, `["in the lobby","hello, lobby","not sent yet!"]`)
	ada.Want(tabs, `["#lobby!","#garden"]`)
	bob.Want(tabs, `["#lobby1","#garden!"]`)
	// Two people, two connections, four subscriptions.
	s.WaitSubscribers("chat-lobby", 2)
	s.WaitSubscribers("chat-garden", 2)
	s.CheckFor(servertest.Patience, func() error {
		_, metrics, err := servertest.Get(s.Admin + "/metrics")
		if err != nil || !strings.Contains(metrics, `icomet_connections{role="front",transport="websocket"} 2`) {
			return fmt.Errorf("want 2 WebSockets: %v %s", err, regexp.MustCompile(`icomet_connections.*"front".*`).FindAllString(metrics, -1))
		}
		return nil
	})

	// A room that is left costs the other nothing.
	ada.Click("document.getElementById('leave')")
	ada.Want(tabs, `["#garden!"]`)
	s.WaitSubscribers("chat-lobby", 1)
	say(bob, "still there?")
	ada.Want(bubbles, `["in the garden","hello, garden","still there?"]`)
	ada.Click("document.getElementById('leave')")
	ada.Want("document.activeElement.id", `"name"`)
	s.WaitSubscribers("chat-garden", 1)
	for _, p := range []*browser.Page{ada, bob} {
		p.WantNoMistakes()
	}
}
