package main

import (
	"strconv"
	"strings"
	"testing"

	"icomet/web/internal/browser"
)

// TestTyping: every key of a keyboard does in every field what it does elsewhere. Only
// Enter is the chat's own.
func TestTyping(t *testing.T) {
	chat, _ := startChat(t)
	p := browser.Start(t).Open(t, chat.URL)
	value := func(want string) {
		t.Helper()
		p.Want("document.activeElement.value", strconv.Quote(want))
	}
	p.Want("document.activeElement.id", `"name"`)
	p.Type("Ada L. ü漢")
	p.Press("Backspace", "Left", "Left", "x", "End", "!")
	value("Ada L.x ü!")
	p.Press("Shift+Home", "Delete")
	value("")
	p.Type("Ada")
	p.Press("Tab")
	p.Fill("a-room-1x")
	p.Press("Backspace")
	value("a-room-1")
	p.Press("Enter")
	p.Want("document.activeElement.id", `"text"`)

	const printable = "hello World: every (key) of it, 0123456789 `~!@#$%^&*-_=+[]{}\\|;'\",.<>/?é漢😀"
	p.Type(printable)
	value(printable)
	p.Press("Left", "Backspace", "Z", "Home", "Delete", "H", "End", "Shift+Enter")
	p.Type("second line")
	p.Press("Up", "Down", "End", "!", "Shift+Left", "Backspace")
	typed := "H" + strings.TrimSuffix(strings.TrimPrefix(printable, "h"), "漢😀") + "Z😀\nsecond line"
	value(typed)
	p.Want(bubbles, "[]")
	p.Press("Enter")
	p.Want(bubbles, "["+strconv.Quote(typed)+"]")
	value("")
	p.Press("Enter") // nothing to send
	say(p, "next")
	p.Want(bubbles, "["+strconv.Quote(typed)+`,"next"]`)
	p.Press("Tab", "Shift+Tab")
	p.Want("document.activeElement.id", `"text"`)
	p.WantNoMistakes()
}
