package redistest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take for anything.
const patience = 60 * time.Second

// Server is one redis-server process. Its methods belong to the goroutine of the test.
type Server struct {
	t    testing.TB
	port int
	dir  string
	args []string
	cli  []string // what redis-cli needs to be let in
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start starts a server; args are more of its options, as on the command line.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := prepare(t, args...)
	s.Start()
	return s
}

func prepare(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, port: Port(t), dir: t.TempDir(), args: args}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.Signal(syscall.SIGCONT)
			s.Kill()
		}
	})
	return s
}

// Addr is its address, HOST:PORT.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Start starts a killed server again, on the same port and with its stored data.
func (s *Server) Start() {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server is needed: make test-needs installs it")
	}
	args := []string{
		s.portOption(), strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--logfile", filepath.Join(s.dir, "log"), "--protected-mode", "no",
	}
	if len(s.args) > 0 && strings.HasSuffix(s.args[0], ".conf") {
		args = append([]string{s.args[0]}, append(args, s.args[1:]...)...)
	} else {
		args = append(append(args, "--save", ""), s.args...)
	}
	s.cmd = exec.Command(path, args...)
	// It ends with the test process, however that ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.done = done
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd)
	s.Wait("it listens", func() error {
		select {
		case <-done:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis-server has ended:\n%s", log)
		default:
		}
		nc, err := net.Dial("tcp", s.Addr())
		if err == nil {
			nc.Close()
		}
		return err
	})
}

// Wait calls try until it returns nil, for at most 30 s; what names the condition.
func (s *Server) Wait(what string, try func() error) {
	s.t.Helper()
	s.wait(what, 5*time.Millisecond, try)
}

func (s *Server) wait(what string, interval time.Duration, try func() error) {
	s.t.Helper()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s: after %v: %v", what, patience, err)
		}
	}
}

// Signal sends a signal to the process.
func (s *Server) Signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// Kill ends the process with SIGKILL and waits for its end.
func (s *Server) Kill() {
	s.Signal(syscall.SIGKILL)
	<-s.done
}

// CLI runs one command with redis-cli and returns its output.
func (s *Server) CLI(args ...string) string {
	s.t.Helper()
	out, err := s.tryCLI(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *Server) tryCLI(args ...string) (string, error) {
	at := append([]string{"-p", strconv.Itoa(s.port)}, s.cli...)
	out, err := exec.Command("redis-cli", append(at, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("redis-cli %v: %w %s", args, err, out)
	}
	return string(out), nil
}

// Replicated waits until a replica has everything that the server has written so far.
// WAIT covers only the writes of its own connection, so this makes one; the key is the
// first of a series that is in one of this server's slots.
func (s *Server) Replicated() {
	s.t.Helper()
	for i := 0; ; i++ {
		cmd := exec.Command("redis-cli", append([]string{"-p", strconv.Itoa(s.port)}, s.cli...)...)
		cmd.Stdin = strings.NewReader(fmt.Sprintf("set replicated%d x px 1000\nwait 1 %d\n", i, patience.Milliseconds()))
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil && string(out) == "OK\n1\n":
			return
		case err != nil || !strings.HasPrefix(string(out), "MOVED"):
			s.t.Fatalf("nothing is replicated: %v %s", err, out)
		}
	}
}

// expect waits until a command's output contains text. Each look is a process, so there
// are few.
func (s *Server) expect(text string, args ...string) {
	s.t.Helper()
	s.wait(text, 50*time.Millisecond, func() error {
		out, err := s.tryCLI(args...)
		if err == nil && !strings.Contains(out, text) {
			err = fmt.Errorf("%v prints %q, want %q", args, out, text)
		}
		return err
	})
}

// Addrs returns the addresses of servers.
func Addrs(servers []*Server) (addrs []string) {
	for _, s := range servers {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

// syncAtOnce makes a master serve a replica at once, instead of waiting 5 s for others.
var syncAtOnce = []string{"--repl-diskless-sync-delay", "0"}

// StartCluster starts a Cluster of three masters with the given number of replicas each;
// the masters come first. A master that is silent for nodeTimeout is replaced.
func StartCluster(t testing.TB, replicas int, nodeTimeout time.Duration, args ...string) []*Server {
	t.Helper()
	var servers []*Server
	for range 3 * (1 + replicas) {
		s := prepare(t)
		s.args = append([]string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(Port(t)),
			"--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0",
		}, append(args, syncAtOnce...)...)
		s.Start()
		servers = append(servers, s)
	}
	create := append([]string{"--cluster", "create"}, Addrs(servers)...)
	servers[0].CLI(append(create, "--cluster-yes", "--cluster-replicas", strconv.Itoa(replicas))...)
	for _, s := range servers {
		s.expect("cluster_state:ok", "cluster", "info")
	}
	for _, s := range servers[3:] {
		s.expect("master_link_status:up", "info", "replication")
	}
	for _, s := range servers { // only now: nodes that are patient take longer to find together
		s.CLI("config", "set", "cluster-node-timeout", strconv.FormatInt(nodeTimeout.Milliseconds(), 10))
	}
	return servers
}

// StartSentinel starts a master with one replica, and one Sentinel that watches it under
// the name "mymaster". A master that is silent for downAfter is replaced.
// The Sentinel's configuration gets more lines.
func StartSentinel(t testing.TB, downAfter time.Duration, more ...string) (master, replica, sentinel *Server) {
	t.Helper()
	master = Start(t, syncAtOnce...)
	replica = Start(t, "--replicaof", "127.0.0.1", strconv.Itoa(master.port))
	replica.expect("master_link_status:up", "info", "replication")
	sentinel = prepare(t)
	conf := filepath.Join(sentinel.dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor mymaster 127.0.0.1 %d 1\nsentinel down-after-milliseconds mymaster %d\n"+
		"sentinel failover-timeout mymaster 2000\n", master.port, downAfter.Milliseconds()) + strings.Join(more, "\n")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel.args = []string{conf, "--sentinel"}
	sentinel.Start()
	if len(more) == 0 {
		sentinel.expect("num-slaves\n1\n", "sentinel", "master", "mymaster")
	}
	return master, replica, sentinel
}
