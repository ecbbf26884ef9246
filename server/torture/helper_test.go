package torture

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// helperVariable makes the test's binary a client process: its load must not share
// the runtime, and its scheduler, with the probe that measures.
const helperVariable = "ICOMET_TORTURE_HELPER"

// helpers are what such a process can do; they call on when their load is on.
var helpers = map[string]func(args []string, on func()) error{"dribble": dribbleMany, "storm": storm}

func helper(args []string) (status int) {
	err := helpers[args[0]](args[1:], func() { fmt.Println("on") })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// help runs a helper to its end and closes on when its load is on. It yields to
// others, as clients elsewhere would: they have processors of their own.
func help(on chan<- struct{}, args ...string) error {
	cmd := exec.Command("nice", "-n", "10", os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+strings.Join(args, " "))
	out, err := cmd.StdoutPipe()
	if err != nil {
		close(on)
		return err
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		close(on)
		return err
	}
	lines := bufio.NewScanner(out)
	for opened := false; ; opened = true {
		more := lines.Scan()
		if !opened {
			close(on)
		}
		if !more {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, said.String())
	}
	return nil
}
