package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"icomet/channel/redis/redistest"
	"icomet/server/servertest"
)

// TestThroughKillsWithRedis: with Redis a killed server loses nothing. While lines are
// published, it is killed again and again: each line is there once, in order, and one sub
// that follows all the time gets each once, and knows that nothing is missing.
func TestThroughKillsWithRedis(t *testing.T) {
	t.Parallel()
	const kills, each = 2, 300
	redis := redistest.Start(t, "--appendonly", "yes")
	s := servertest.Start(t, append(ownPorts(t), "ICOMET_ENGINE_TYPE=redis", "ICOMET_ENGINE_REDIS_ADDRESS="+redis.Addr(),
		"ICOMET_ENGINE_REDIS_TIMEOUT=30s", "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")...)
	sub := start(t, s, "", "sub", "a", "--seq", "1", "-q", "-n", fmt.Sprint((kills+1)*each))
	r, w := io.Pipe()
	pub := startReading(t, s, r, "pub", "a", "-")
	want := strings.Builder{}
	for round := range kills + 1 {
		for n := range each {
			line := fmt.Sprintf("%d %d\n", round, n)
			want.WriteString(line)
			if _, err := w.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		if round < kills {
			s.Kill() // with lines on their way
			s.Restart()
		}
	}
	w.Close()
	if err := pub.end(); err != nil {
		t.Fatal(err)
	}
	if got := runs(t, s, "sub", "a", "--seq", "1", "-q", "-n", fmt.Sprint((kills+1)*each)); got != want.String() {
		t.Errorf("stored %q", got)
	}
	if err := sub.end(); err != nil || sub.stdout.String() != want.String() || sub.stderr.String() != "" {
		t.Errorf("%v, the sub printed %q and told %q", err, sub.stdout, sub.stderr)
	}
	if got := runs(t, s, "clear", "a"); got != fmt.Sprintf("ok, the next message is number %d\n", (kills+1)*each+1) {
		t.Errorf("clear printed %q", got)
	}
}
