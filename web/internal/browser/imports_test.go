package browser

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std":                             "as everywhere",
		"github.com/chromedp/chromedp":    "drives Chromium",
		"github.com/chromedp/cdproto/...": "the commands of its DevTools protocol",
	})
}
