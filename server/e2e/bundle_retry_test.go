package e2e

import (
	"fmt"
	"strings"
	"testing"

	"icomet/server/config"
)

// TestManyRetry: an EventSource waits long before it comes back only when its response ended
// with a channel that was refused or closed. It remembers the last retry for its next break,
// so that of one channel among others would slow them all.
func TestManyRetry(t *testing.T) {
	t.Parallel()
	const slow = "retry: 15000\n"
	class := config.ChannelClass{Match: "no*", BufferSize: 10, Timeout: 60, MaxSubscribers: 1, Auth: "token"}
	s := startServer(t, func(c *config.Config) { c.Channels = []config.ChannelClass{class} })
	used := make(map[string]bool)
	for _, version := range []string{"1.1", "1.0"} {
		open := func(query string) *client {
			c := dial(t, s.front)
			c.sendf("GET /sse?%s HTTP/%s\r\nHost: test\r\n\r\n", query, version)
			return c
		}
		for _, ends := range []string{"close", "end"} {
			for _, order := range []string{"cname=a&cname=no1", "cname=no1&cname=a"} {
				name := fmt.Sprint("b", len(used))
				used[name] = true
				c := open(order + "&cname=" + name)
				s.waitSubscribers(name, 1)
				text := c.until(`"cname":"` + name + `","seq":1,"content":""}`)
				s.call("/close?cname=a")
				text += c.until(`"type":"close","cname":"a"`)
				if !strings.Contains(text, `"type":"401"`) || strings.Contains(text, slow) {
					t.Errorf("%s while another goes on: %q", order, text)
				}
				s.call("/" + ends + "?cname=" + name)
				if text := c.until(`cname":"` + name + `"`); !strings.Contains(text, slow+`data: {"type":"`+ends) {
					t.Errorf("the last one, /%s: %q", ends, text)
				}
				c.Close()
			}
		}
		c := open("cname=no1&cname=no2")
		if text := c.until(`"no2"`); strings.Count(text, slow) != 1 || !strings.Contains(text, slow+`data: {"type":"401","cname":"no2"`) {
			t.Errorf("all refused: %q", text)
		}
		c.Close()
		first, second := "over"+version, "over-too"+version
		c = open("cname=" + first + "&cname=" + second)
		s.waitSubscribers(second, 1)
		s.call("/end?cname=" + first)
		s.call("/end?cname=" + second)
		if text := c.until(`"type":"end","cname":"` + second + `"`); strings.Contains(text, slow) {
			t.Errorf("all ended: %q", text)
		}
		c.Close()
	}
}
