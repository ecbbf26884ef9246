package e2e

import (
	"strings"
	"testing"
)

// TestVisit: a link on another site leads to what only shows something. Nothing that does
// something can be reached so, nor what a page embeds or fetches.
func TestVisit(t *testing.T) {
	t.Parallel()
	s := startServer(t, strictHosts)
	const visit = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nReferer: https://elsewhere.example/\r\n"
	for _, path := range []string{"/", "/dashboard/main.js", "/stats", "/metrics", "/info", "/check?cname=a", "/dashboard/config"} {
		for _, method := range []string{"GET", "HEAD"} {
			c := dial(t, s.admin)
			c.sendf("%s %s HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n%s\r\n", method, path, visit)
			if method == "GET" {
				checkVerdict(t, c, path, true, "")
			} else if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Errorf("HEAD %s: %s", path, head)
			}
		}
	}
	for _, request := range []string{
		"GET /push?cname=a&content=x HTTP/1.1\r\n" + visit,
		"GET /pub?cname=a&content=x HTTP/1.1\r\n" + visit,
		"GET /broadcast?content=x HTTP/1.1\r\n" + visit,
		"GET /sign?cname=a HTTP/1.1\r\n" + visit,
		"GET /close?cname=a HTTP/1.1\r\n" + visit,
		"GET /clear?cname=a HTTP/1.1\r\n" + visit,
		"GET /psub HTTP/1.1\r\n" + visit,
		"GET /dashboard/feed HTTP/1.1\r\n" + visit,
		"GET /debug/pprof/profile?seconds=1 HTTP/1.1\r\n" + visit,
		"GET /nothing HTTP/1.1\r\n" + visit,
		"POST /info HTTP/1.1\r\nOrigin: https://elsewhere.example\r\nContent-Length: 0\r\n" + visit,
		"GET / HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
		"GET / HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: embed\r\n",
		"GET / HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: document\r\n",
		"GET /dashboard/main.js HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n",
		"GET /stats?cb=f HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n",
		"GET / HTTP/1.1\r\nSec-Fetch-Dest: iframe\r\n" + visit,
		"GET / HTTP/1.1\r\nSec-Fetch-Mode: cors\r\n" + visit,
		"GET / HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n",
	} {
		c := dial(t, s.admin)
		c.sendf("%sHost: 127.0.0.1:8000\r\n\r\n", request)
		checkVerdict(t, c, request, false, "origin")
	}
	c := dial(t, s.admin)
	c.sendf("GET / HTTP/1.1\r\nHost: rebound.example\r\n%s\r\n", visit)
	checkVerdict(t, c, "another Host", false, "Host")
}
