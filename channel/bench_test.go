package channel

import (
	"fmt"
	"testing"
	"time"
)

// benchSink stores nothing: the benchmarks measure this package only.
type benchSink struct{}

func (benchSink) Push(*Channel, Message) bool { return false }
func (benchSink) Wake()                       {}
func (benchSink) Full() bool                  { return false }
func (benchSink) HalfFull() bool              { return false }
func (benchSink) Busy() bool                  { return false }

func newBenchHub(channels int) (*Hub, [][]byte) {
	h := NewHub(Limits{MaxChannels: channels, MaxSubscribers: 1e6, BufferSize: 10, Timeout: 30 * time.Second})
	h.AddSink(benchSink{})
	names := make([][]byte, channels)
	for i := range names {
		names[i] = fmt.Appendf(nil, "user-%08d", i)
	}
	return h, names
}

func BenchmarkPublish(b *testing.B) {
	for _, channels := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(channels), func(b *testing.B) {
			h, names := newBenchHub(channels)
			for _, name := range names {
				h.Join(&Join{Name: name}, nil)
				for range 10 {
					h.Publish(&Publication{Name: name, Content: "x"})
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				h.Publish(&Publication{Name: names[i%channels], Content: "x"})
			}
		})
	}
}

// BenchmarkPublishParallel publishes on every CPU: each to its own channels (spread), or
// all to one channel.
func BenchmarkPublishParallel(b *testing.B) {
	for _, channels := range []int{1, 1000} {
		b.Run(fmt.Sprint(channels), func(b *testing.B) {
			h, names := newBenchHub(channels)
			m := NewMemory(h)
			defer m.Stop()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					m.Publish(&Publication{Name: names[i%channels], Content: "x"}, benchDone{})
				}
			})
		})
	}
}

type benchDone struct{}

func (benchDone) Done(Result) {}

func BenchmarkJoinLeave(b *testing.B) {
	for _, since := range []int64{0, 1} {
		b.Run(fmt.Sprint("since", since), func(b *testing.B) {
			h, names := newBenchHub(1)
			for range 10 {
				h.Publish(&Publication{Name: names[0], Content: "x"})
			}
			replay := make([]Message, 0, 10)
			j := Join{Name: names[0], Since: since}
			b.ReportAllocs()
			for range b.N {
				got, _ := h.Join(&j, replay)
				h.Leave(got.Channel, 0, true)
			}
		})
	}
}

// BenchmarkCreateAndSweep is the whole life of a channel with one message; the sweep is
// also reported on its own.
func BenchmarkCreateAndSweep(b *testing.B) {
	const channels = 100_000
	var swept time.Duration
	now := time.Duration(0)
	h, names := newBenchHub(channels)
	for range b.N {
		for _, name := range names {
			h.Publish(&Publication{Name: name, Content: "x"})
		}
		now += 40 * time.Second
		start := time.Now()
		for h.Channels() > 0 {
			h.Tick(now)
		}
		swept += time.Since(start)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/channels, "ns/channel")
	b.ReportMetric(float64(swept.Nanoseconds())/float64(b.N)/channels, "ns/swept")
}

// BenchmarkTickIdle is a tick with many channels, none of which is due.
func BenchmarkTickIdle(b *testing.B) {
	h, names := newBenchHub(100_000)
	for _, name := range names {
		h.Sign(name, 1000*time.Hour)
	}
	now := time.Duration(0)
	for range b.N {
		now += 100 * time.Millisecond
		h.Tick(now)
	}
}

func BenchmarkBroadcast(b *testing.B) {
	const channels = 100_000
	h, names := newBenchHub(channels)
	for _, name := range names {
		h.Join(&Join{Name: name}, nil)
		for range 10 {
			h.Publish(&Publication{Name: name, Content: "x"})
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		h.Broadcast("x", "", nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/channels, "ns/channel")
}
