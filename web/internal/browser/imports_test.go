package browser

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                             // as everywhere
		"github.com/chromedp/chromedp",    // drives Chromium
		"github.com/chromedp/chromedp/kb", // the keys of a keyboard
		"github.com/chromedp/cdproto/...", // the commands of its DevTools protocol
	)
}
