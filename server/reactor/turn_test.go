package reactor_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	"icomet/server"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
)

// turn is a server with its endpoints on a Fake, and what one round of a scenario does.
type turn struct {
	fake  *reactor.Fake
	round func()
	per   int // messages of a round
}

// turns are the scenarios of TestAllocsTurn and BenchmarkTurn.
var turns = map[string]func(s *server.Server, f *reactor.Fake) turn{
	"publish": func(s *server.Server, f *reactor.Fake) turn {
		publisher := f.Connect(s.AdminAddr())
		return turn{f, func() { publisher.Says(publish("a")); f.Turn() }, 1}
	},
	"unicast": func(s *server.Server, f *reactor.Fake) turn {
		subscribe(s, f, "/stream?cname=a", 1)
		publisher := f.Connect(s.AdminAddr())
		return turn{f, func() { publisher.Says(publish("a")); f.Turn() }, 1}
	},
	"unicast32": func(s *server.Server, f *reactor.Fake) turn { // 32 publishers in one round of epoll
		var publishers [32]*reactor.FakeClient
		var requests [32][]byte
		for i := range publishers {
			subscribe(s, f, fmt.Sprintf("/stream?cname=c%d", i), 1)
			publishers[i], requests[i] = f.Connect(s.AdminAddr()), publish(fmt.Sprintf("c%d", i))
		}
		return turn{f, func() {
			for i, p := range publishers {
				p.Says(requests[i])
			}
			f.Turn()
		}, len(publishers)}
	},
	"fanout1000": func(s *server.Server, f *reactor.Fake) turn {
		subscribe(s, f, "/stream?cname=a", 1000)
		publisher := f.Connect(s.AdminAddr())
		return turn{f, func() { publisher.Says(publish("a")); f.Turn() }, 1000}
	},
	"poll": func(s *server.Server, f *reactor.Fake) turn {
		client, publisher := f.Connect(s.FrontAddr()), f.Connect(s.AdminAddr())
		ask := request("/sub?cname=a")
		return turn{f, func() { client.Says(ask); publisher.Says(publish("a")); f.Turn() }, 1}
	},
}

func request(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

var published = map[string][]byte{}

// publish is the request that publishes 100 bytes.
func publish(cname string) []byte {
	if published[cname] == nil {
		published[cname] = request(fmt.Sprintf("/push?cname=%s&content=%0100d", cname, 7))
	}
	return published[cname]
}

func subscribe(s *server.Server, f *reactor.Fake, path string, n int) {
	for range n {
		f.Connect(s.FrontAddr()).Says(request(path))
	}
	f.Turn()
}

// warm goes on until who is busy has what the busy keep: the ciphers of TLS are kept from the
// fifth record on.
func (t turn) warm() {
	for range 5 {
		t.round()
	}
}

// eachTurn runs each scenario on a server of its own, and again over TLS.
func eachTurn[T testing.TB](t T, run func(name string, f func(T)) bool, f func(T, turn)) {
	for name, prepare := range turns {
		runTurn(run, name, nil, prepare, f)
		runTurn(run, name+"TLS", []string{servertest.Certificate()}, prepare, f)
	}
}

func runTurn[T testing.TB](run func(name string, f func(T)) bool, name string, certificates []string,
	prepare func(*server.Server, *reactor.Fake) turn, f func(T, turn)) {
	run(name, func(t T) {
		cfg := config.Default()
		cfg.Front.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
		cfg.Front.TLS.Certificates, cfg.Admin.TLS.Certificates = certificates, certificates
		s, err := server.New(server.Options{
			Config: cfg, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), CrashOnPanic: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		f(t, prepare(s, reactor.NewFake(s.Reactor())))
	})
}

// BenchmarkTurn is our own part of a message, from the request to the writes, without
// gnet and without the kernel. ns/msg is per message that leaves.
func BenchmarkTurn(b *testing.B) {
	eachTurn(b, b.Run, func(b *testing.B, t turn) {
		t.warm()
		before := t.fake.Sent
		b.ReportAllocs()
		for b.Loop() {
			t.round()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*t.per), "ns/msg")
		b.ReportMetric(float64(t.fake.Sent-before)/float64(b.N*t.per), "B-sent/msg")
	})
}
