package continuity

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"icomet/server/servertest"
)

// historiesVariable is how many random histories TestHistories has.
const historiesVariable = "ICOMET_HISTORIES"

// localServers is how many servers share the histories, each living through one after the
// other: most of the time of a history is waiting.
const localServers = 16

func TestMain(m *testing.M) {
	flag.Parse()
	n := 100
	if value, err := strconv.Atoi(os.Getenv(historiesVariable)); err == nil {
		n = value
	}
	// Shrinking over sockets takes long, and the first trace says more.
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa((n + localServers - 1) / localServers), "rapid.shrinktime": "0s"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	servertest.Main(m)
}

// TestHistories does random things to the memory engine.
func TestHistories(t *testing.T) {
	t.Parallel()
	for i := range localServers {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			live(t, startLocal(t))
		})
	}
}

// TestHistoriesOfProcesses does random things to server processes, which are also killed.
func TestHistoriesOfProcesses(t *testing.T) {
	t.Parallel()
	t.Run("no snapshot", func(t *testing.T) {
		t.Parallel()
		live(t, startProcesses(t, 1, ""))
	})
	t.Run("snapshot", func(t *testing.T) {
		t.Parallel()
		p := startProcesses(t, 1, fmt.Sprintf("engine.snapshot = %q\n", filepath.Join(t.TempDir(), "snapshot")))
		p.keeps = true
		live(t, p)
	})
}

// TestHistoriesOnRedis does random things to servers on one Redis, and to that.
func TestHistoriesOnRedis(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			live(t, startOnRedis(t, n))
		})
	}
}

// live has the servers live through histories.
func live(t *testing.T, on target) {
	var failed sync.Once // rapid tries shorter ones then
	admin := &http.Client{Timeout: patience, Transport: servertest.Transport()}
	t.Cleanup(admin.CloseIdleConnections)
	n := 0
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		n++
		w := newWorld(on, admin, fmt.Sprintf("h%d", n))
		t.Cleanup(w.leave)
		t.Cleanup(func() {
			if t.Failed() {
				failed.Do(func() { outer.Logf("the first history that failed:\n%s", &w.trace) })
			}
		})
		w.configure(t)
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": w.subscribe, "subscribe2": w.subscribe, "subscribe3": w.subscribe, "subscribe4": w.subscribe,
			"publish": w.publish, "publish2": w.publish, "publish3": w.publish, "batch": w.batch,
			"broadcast": w.broadcast, "end": w.end, "clear": w.clear, "close": w.close,
			"expire": w.expire, "pass": w.pass, "configure": w.configure, "happen": w.happen,
			"disconnect": w.disconnect, "storm": w.storm, "storm2": w.storm, "settle": w.settle,
		})
		w.settle(t)
	})
}
