package dashboard_test

import (
	"testing"

	"icomet/channel/redis/redistest"
	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// TestOneNodeOfSeveral: the list and a channel's page say that they show one node.
func TestOneNodeOfSeveral(t *testing.T) {
	redis := redistest.Start(t)
	environ := []string{"ICOMET_ENGINE_TYPE=redis", "ICOMET_ENGINE_REDIS_ADDRESS=" + redis.Addr()}
	s, other := servertest.Start(t, environ...), servertest.Start(t, environ...)
	subscribe(t, s, "stream", "here", 1)
	subscribe(t, other, "stream", "there", 1)
	p := open(t, browser.Start(t), s, "#/channels", wide)
	p.Want(rowNames, `["here"]`)
	p.Want(`document.querySelector('h1 + p')?.textContent.includes('subscribers on this node')`, `true`)
	p.Want(`document.querySelector('h1 + p')?.hidden`, `false`)
	p = open(t, browser.Start(t), s, "#/channel/there", wide)
	p.Want(`document.querySelector('dd')?.textContent`, `"without subscribers on this node, which has no copy of it"`)
	p.WantNoMistakes()

	alone := open(t, browser.Start(t), servertest.Start(t), "#/channels", wide)
	alone.Want(`document.querySelector('tbody')?.textContent.startsWith('There are no channels')`, `true`)
	alone.Want(`document.querySelector('h1 + p')?.hidden`, `true`)
}
