package continuity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icomet/server/servertest"
)

// processes are servers as processes of their own.
type processes struct {
	config  string // the file that all of them have
	servers []*servertest.Server
	keeps   bool // SIGTERM leaves what the servers know to the next start
}

func startProcess(t *testing.T, keeps bool, environ ...string) *processes {
	p := &processes{keeps: keeps, config: filepath.Join(t.TempDir(), "config.toml")}
	if err := p.write(setup{plain: keeping{size: 10}}); err != nil {
		t.Fatal(err)
	}
	p.servers = append(p.servers, servertest.StartFile(t, p.config, environ...))
	return p
}

func (p *processes) write(s setup) error { return os.WriteFile(p.config, []byte(s.toml()), 0o600) }

func (p *processes) nodes() (out []node) {
	for _, s := range p.servers {
		out = append(out, node{strings.TrimPrefix(s.Front, "http://"), strings.TrimPrefix(s.Admin, "http://")})
	}
	return out
}

func (p *processes) reload(s setup) error {
	if err := p.write(s); err != nil {
		return err
	}
	for _, s := range p.servers {
		s.Reload()
	}
	return nil
}

func (p *processes) ways() []way {
	return []way{
		{name: "kill -9", ends: cut, restart: func() error {
			p.servers[0].Kill()
			p.servers[0].Restart()
			return nil
		}},
		{name: "SIGTERM", keeps: p.keeps, ends: drained, restart: func() error {
			p.servers[0].Stop()
			p.servers[0].Restart()
			return nil
		}},
	}
}
