package browser

import (
	"encoding/json"
	"strings"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
)

// named are the keys that Press knows by name; any other key is a single character.
var named = map[string]rune{
	"Backspace": '\b', "Tab": '\t', "Enter": '\r', "Escape": '\x1b', "Delete": '\x7f',
	"Home": '\u0306', "End": '\u0305', "Left": '\u0302', "Right": '\u0303', "Up": '\u0304', "Down": '\u0301',
}

const shiftKey = '\u010d' // in the tables of kb

// Type presses and releases the key of each character, and Shift where it is needed.
// Each press is one event that carries its text, as that of a keyboard does: a page that
// cancels the press cancels the text. (chromedp.KeyEvent sends the text as an event of
// its own, which no page can cancel. So it works on pages where nobody can type.)
func (p *Page) Type(text string) {
	p.t.Helper()
	for _, r := range text {
		key := keyOf(r)
		shifted := key.Modifiers&int64(kb.ModifierShift) != 0
		if shifted {
			p.press(keyOf(shiftKey), input.DispatchKeyEventTypeRawKeyDown)
		}
		p.stroke(key)
		if shifted {
			p.press(keyOf(shiftKey), input.DispatchKeyEventTypeKeyUp)
		}
	}
}

// Press presses and releases keys by name, one after the other: "Enter", "Shift+Enter",
// "/".
func (p *Page) Press(keys ...string) {
	p.t.Helper()
	for _, name := range keys {
		base, shifted := strings.CutPrefix(name, "Shift+")
		r, ok := named[base]
		if !ok {
			if len([]rune(base)) != 1 {
				p.t.Fatalf("there is no key %q", name)
			}
			r = []rune(base)[0]
		}
		key := keyOf(r)
		if !shifted {
			p.stroke(key)
			continue
		}
		key.Modifiers |= int64(kb.ModifierShift)
		p.press(keyOf(shiftKey), input.DispatchKeyEventTypeRawKeyDown)
		p.stroke(key)
		p.press(keyOf(shiftKey), input.DispatchKeyEventTypeKeyUp)
	}
}

// Fill replaces what the field with the focus holds: a person selects all of it, and types.
func (p *Page) Fill(text string) {
	p.t.Helper()
	all := keyOf('a')
	all.Text, all.UnmodifiedText, all.Modifiers = "", "", int64(kb.ModifierCtrl)
	all.Commands = []string{"selectAll"} // the browser's own shortcut, which headless leaves out
	p.stroke(all)
	p.Press("Backspace")
	p.Type(text)
}

func keyOf(r rune) input.DispatchKeyEventParams {
	k, ok := kb.Keys[r]
	if !ok { // a character of another keyboard
		return input.DispatchKeyEventParams{Key: string(r), Text: string(r), UnmodifiedText: string(r)}
	}
	key := input.DispatchKeyEventParams{
		Key: k.Key, Code: k.Code, Text: k.Text, UnmodifiedText: k.Unmodified,
		WindowsVirtualKeyCode: k.Windows, NativeVirtualKeyCode: k.Native,
	}
	if k.Shift {
		key.Modifiers = int64(kb.ModifierShift)
	}
	return key
}

func (p *Page) stroke(key input.DispatchKeyEventParams) {
	p.t.Helper()
	down := input.DispatchKeyEventTypeKeyDown
	if key.Text == "" {
		down = input.DispatchKeyEventTypeRawKeyDown
	}
	p.press(key, down)
	key.Commands = nil
	p.press(key, input.DispatchKeyEventTypeKeyUp)
}

func (p *Page) press(key input.DispatchKeyEventParams, what input.DispatchKeyEventType) {
	p.t.Helper()
	key.Type = what
	if what == input.DispatchKeyEventTypeKeyUp {
		key.Text, key.UnmodifiedText = "", ""
	}
	Call(p, input.DispatchKeyEvent, key)
}

// Click moves the mouse over the element that an expression names, once it can be seen,
// and clicks.
func (p *Page) Click(expression string) {
	p.t.Helper()
	x, y := p.Hover(expression)
	mouse := input.DispatchMouseEventParams{X: x, Y: y, Button: input.MouseButtonLeft, ClickCount: 1}
	for _, mouse.Type = range []input.DispatchMouseEventType{input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased} {
		Call(p, input.DispatchMouseEvent, mouse)
	}
}

// Hover moves the mouse to the middle of an element, and returns the place.
func (p *Page) Hover(expression string) (x, y float64) {
	p.t.Helper()
	seen := "(e => !!e && e.getClientRects().length > 0)(" + expression + ")"
	p.Want(seen, "true")
	at := p.Text(`(e => {
		e.scrollIntoView({ block: 'nearest', behavior: 'instant' });
		const r = e.getBoundingClientRect();
		return JSON.stringify([r.x + r.width / 2, r.y + r.height / 2]);
	})(` + expression + `)`)
	var place [2]float64
	if err := json.Unmarshal([]byte(at), &place); err != nil {
		p.t.Fatalf("the place of %s: %v", expression, err)
	}
	p.MoveMouse(place[0], place[1])
	return place[0], place[1]
}

// MoveMouse moves the mouse to a place in the window, in CSS px.
func (p *Page) MoveMouse(x, y float64) {
	p.t.Helper()
	Call(p, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: x, Y: y})
}
