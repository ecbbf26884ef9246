package continuity

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"icomet/channel/redis/redistest"
	"icomet/server/servertest"
)

// processes are servers as processes of their own, on one Redis or without.
type processes struct {
	t       *testing.T
	config  string // the file that all of them have
	head    string // what it begins with
	servers []*servertest.Server
	redis   *redistest.Server // nil: none
	keeps   bool              // SIGTERM leaves what the servers know to the next start
}

func startProcesses(t *testing.T, n int, head string) *processes {
	p := &processes{t: t, head: head, config: filepath.Join(t.TempDir(), "config.toml")}
	if err := p.write(setup{plain: keeping{size: 10}}); err != nil {
		t.Fatal(err)
	}
	for range n {
		p.servers = append(p.servers, servertest.StartWith(t, p.config))
	}
	return p
}

// startOnRedis starts a Redis that loses nothing, and n servers.
func startOnRedis(t *testing.T, n int) *processes {
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	p := startProcesses(t, n, fmt.Sprintf("engine.type = \"redis\"\nengine.redis.address = [%q]\nengine.redis.timeout = \"30s\"\nengine.redis.dial_timeout = \"30s\"\n", redis.Addr()))
	p.redis = redis
	return p
}

func (p *processes) write(s setup) error {
	return os.WriteFile(p.config, []byte(p.head+s.toml()), 0o600)
}

func (p *processes) nodes() (out []node) {
	for _, s := range p.servers {
		out = append(out, node{servertest.HostPort(s.Front), servertest.HostPort(s.Admin)})
	}
	return out
}

func (p *processes) shared() bool { return p.redis != nil }

func (p *processes) reload(s setup) error {
	if err := p.write(s); err != nil {
		return err
	}
	for _, s := range p.servers {
		s.Reload()
	}
	return nil
}

func (p *processes) ways() (out []way) {
	for i, s := range p.servers {
		out = append(out, way{"kill -9", i, p.shared(), cut, func() { s.Kill(); s.Restart() }},
			way{"SIGTERM", i, p.shared() || p.keeps, drained, func() { s.Stop(); s.Restart() }})
	}
	if p.shared() {
		out = append(out, way{"Redis is killed", nobody, true, open, func() {
			p.redis.Kill()
			p.redis.Start()
			p.ready()
		}}, way{"Redis loses all", everybody, false, cut, func() {
			p.redis.CLI("FLUSHALL")
			p.redis.Kill() // a new connection is when the servers look
			p.redis.Start()
			p.ready()
		}})
	}
	return out
}

// ready waits until all servers have their Redis again.
func (p *processes) ready() {
	for _, s := range p.servers {
		servertest.CheckFor(p.t, patience, func() error {
			if status, body, err := servertest.Get(s.Admin + "/readyz"); err != nil || status != 200 {
				return fmt.Errorf("not ready: %d %s %v", status, body, err)
			}
			return nil
		})
	}
}
