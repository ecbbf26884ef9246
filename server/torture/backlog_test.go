package torture

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestBacklogsNobodyReads: ten clients come again and again, ask for a long backlog, read
// nothing and reset. Newcomers are served meanwhile, and memory stays bounded. Then many
// ask and stay: each holds what is on its way to it, which is one message here.
func TestBacklogsNobodyReads(t *testing.T) {
	t.Parallel()
	const size = 2 * mib
	d := start(t, servertest.PlainBinary, "", "LIMITS_BODY=4MiB")
	p := d.newProbe()
	content := strings.Repeat("z", size)
	for range 10 {
		d.push("long", content)
	}
	base, stop := d.rss(), d.watchRSS()
	var over atomic.Bool
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for !over.Load() {
				nc, err := dial(d.front, 0)
				if err != nil {
					t.Error(err)
					return
				}
				kind := []string{"stream", "sse", "iframe", "sub", "poll"}[i%5]
				_, _ = fmt.Fprintf(nc, "GET /%s?cname=long&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", kind)
				<-pace.C
				reset(nc)
			}
		})
	}
	var worst time.Duration
	for end := time.Now().Add(sized(2*time.Second, 10*time.Second)); time.Now().Before(end); {
		begun := time.Now()
		p.meetsNewcomer(t)
		worst = max(worst, time.Since(begun))
	}
	over.Store(true)
	all.Wait()
	most := stop() - base
	t.Logf("the slowest newcomer took %v; %d MiB", worst, most/mib)
	if worst > sized(5*time.Second, 100*time.Millisecond) {
		t.Errorf("a newcomer took %v", worst)
	}
	if limit := int64(10*4*size + 64*mib); most > limit {
		t.Errorf("%d MiB, at most %d", most/mib, limit/mib)
	}
	d.waitSubscribers(1)

	base, stop = d.rss(), d.watchRSS()
	n := sized(15, 60)
	d.hoard(n, 4096, "long")
	d.waitSubscribers(n + 1)
	p.runFor(t, time.Second)
	if most, limit := stop()-base, int64(n*3*size+64*mib); most > limit {
		t.Errorf("%d backlogs that nobody reads take %d MiB, at most %d", n, most/mib, limit/mib)
	}
}
