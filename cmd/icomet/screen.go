package main

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/term"
)

// The control sequences of a terminal, as ECMA-48 and xterm have them.
const (
	enterAlternate = "\x1b[?1049h\x1b[?25l" // the second screen, without a cursor
	leaveAlternate = "\x1b[?25h\x1b[?1049l"
	cursorHome     = "\x1b[H"
	eraseLineEnd   = "\x1b[K"
	eraseBelow     = "\x1b[J"
)

// screen draws pages in place on a terminal, or appends them to any other output.
type screen struct {
	w  io.Writer
	fd int // -1: not a terminal
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w, fd: -1}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.fd = int(f.Fd())
		io.WriteString(w, enterAlternate)
	}
	return s
}

// draw shows a page, cut to the size of the terminal.
func (s *screen) draw(page []byte) {
	if s.fd < 0 {
		s.w.Write(append(page, '\n'))
		return
	}
	width, height, err := term.GetSize(s.fd)
	if err != nil {
		width, height = 80, 24
	}
	lines := bytes.Split(bytes.TrimRight(page, "\n"), []byte("\n"))
	out := []byte(cursorHome)
	for i, line := range lines[:min(len(lines), height)] {
		if i > 0 {
			out = append(out, "\r\n"...)
		}
		if runes := []rune(string(line)); len(runes) > width {
			line = []byte(string(runes[:width]))
		}
		out = append(append(out, line...), eraseLineEnd...)
	}
	s.w.Write(append(out, eraseBelow...))
}

func (s *screen) close() {
	if s.fd >= 0 {
		io.WriteString(s.w, leaveAlternate)
	}
}
