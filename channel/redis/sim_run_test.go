package redis

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSimulation runs random schedules: a few with the race detector, ICOMET_SIMULATIONS
// of them in other runs. Two variables are for the search and for the replay of a failure:
//
//	ICOMET_SIM=PROFILE:FIRST-LAST   runs those seeds, in this process; one seed shows its trace
//	ICOMET_SIM_ALL=1                lists all seeds that fail, instead of ending with the first
func TestSimulation(t *testing.T) {
	text := os.Getenv("ICOMET_SIM")
	if text == "" {
		runSimulations(t)
		return
	}
	name, text, _ := strings.Cut(text, ":")
	at := slices.IndexFunc(profiles, func(p profile) bool { return p.name == name })
	if at < 0 {
		t.Fatalf("no profile %q", name)
	}
	p := &profiles[at]
	first, last := seeds(t, text)
	began := time.Now()
	for seed := first; seed <= last; seed++ {
		w := simulate(t, p, seed)
		switch {
		case w.failed != nil && os.Getenv("ICOMET_SIM_ALL") != "":
			fmt.Printf("seed %s:%d step %d: %v\n", p.name, seed, w.steps, w.failed)
		case w.failed != nil:
			t.Fatalf("ICOMET_SIM=%s:%d, step %d, after %v: %v\n%s",
				p.name, seed, w.steps, time.Since(began), w.failed, strings.Join(w.trace, "\n"))
		case last == first:
			t.Logf("digest %x\n%s", w.digest, strings.Join(w.trace, "\n"))
		}
	}
	t.Logf("%d schedules in %v", last-first+1, time.Since(began))
}

func seeds(t *testing.T, text string) (first, last uint64) {
	t.Helper()
	a, b, both := strings.Cut(text, "-")
	first, err := strconv.ParseUint(a, 10, 64)
	if last = first; err == nil && both {
		last, err = strconv.ParseUint(b, 10, 64)
	}
	if err != nil {
		t.Fatalf("%s: want FIRST or FIRST-LAST", text)
	}
	return first, last
}

// simProcess runs seeds in a process of its own. It has one P, so that the goroutines
// take turns in the same order whenever a seed is run.
func simProcess(what string) ([]byte, error) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestSimulation$", "-test.v", "-test.timeout=12h")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "ICOMET_SIM="+what)
	return cmd.CombinedOutput()
}

func runSimulations(t *testing.T) {
	total := 50
	if text := os.Getenv("ICOMET_SIMULATIONS"); text != "" {
		var err error
		if total, err = strconv.Atoi(text); err != nil {
			t.Fatalf("ICOMET_SIMULATIONS: %v", err)
		}
	}
	for i := range profiles {
		p := &profiles[i]
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			out, err := simProcess(fmt.Sprintf("%s:0-%d", p.name, max(1, total*p.share/100)-1))
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
