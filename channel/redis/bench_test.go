package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
	"icomet/channel/redis/redistest"
)

// benchDepth is the number of publishes in flight: that many publishers at a time.
const benchDepth = 256

// BenchmarkPublish publishes 100 bytes to 1,000 channels without subscribers. For
// comparison, BenchmarkClientAlone runs the same script through the client library alone,
// in batches of the same size.
func BenchmarkPublish(b *testing.B) {
	s := redistest.Start(b)
	n := startNode(b, testOptions(s.Addr()), testLimits)
	content := strings.Repeat("x", 100)
	names := make([][]byte, 1000)
	for i := range names {
		names[i] = fmt.Appendf(nil, "bench%d", i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	places := make(chan struct{}, benchDepth)
	var failed atomic.Int64
	var answered sync.WaitGroup
	for i := range b.N {
		places <- struct{}{}
		answered.Add(1)
		n.Publish(&channel.Publication{Name: names[i%len(names)], Content: content}, doneFunc(func(r channel.Result) {
			if r.Err != nil {
				failed.Add(1)
			}
			<-places
			answered.Done()
		}))
	}
	answered.Wait()
	if failed.Load() > 0 {
		b.Fatalf("%d have failed", failed.Load())
	}
}

// BenchmarkClientAlone also reports the CPU time of this process, without Redis: what the
// client library takes per call.
func BenchmarkClientAlone(b *testing.B) {
	s := redistest.Start(b)
	n := startNode(b, testOptions(s.Addr()), testLimits)
	content := strings.Repeat("x", 100)
	p := n.parts[0]
	batch := make([]rueidis.Completed, benchDepth)
	b.ReportAllocs()
	b.ResetTimer()
	before := selfCPU(b)
	for i := 0; i < b.N; {
		k := min(benchDepth, b.N-i)
		for j := range k {
			name := fmt.Sprint("bench", (i+j)%1000)
			call := scriptCall{
				publishScript, []string{p.state(name), p.base + "h:" + name, p.due, p.presence},
				[]string{name, content, "10", "30000", "0123456789abcdef", "1", "PUBLISH", n.keepFor, ""},
			}
			batch[j] = call.bySHA(n.client.B())
		}
		for _, r := range n.client.DoMulti(context.Background(), batch[:k]...) {
			if err := r.Error(); err != nil {
				b.Fatal(err)
			}
		}
		i += k
	}
	b.ReportMetric(float64((selfCPU(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func selfCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDeliveryElsewhere is the time from a publish on one node to the sink of
// another.
func BenchmarkDeliveryElsewhere(b *testing.B) {
	s := redistest.Start(b)
	from, to := startNode(b, testOptions(s.Addr()), testLimits), startNode(b, testOptions(s.Addr()), testLimits)
	to.join("c", 0)
	got := make(chan struct{}, 1)
	to.sink.onPush = func() { got <- struct{}{} }
	b.ResetTimer()
	for range b.N {
		from.Publish(&channel.Publication{Name: []byte("c"), Content: "x"}, doneFunc(func(channel.Result) {}))
		select {
		case <-got:
		case <-time.After(patience):
			b.Fatal("not delivered")
		}
	}
	b.StopTimer()
	to.sink.onPush = nil
}
