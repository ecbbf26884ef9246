package server

import (
	"fmt"
	"runtime"

	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/secure"
)

// loadTLS reads the files of a port's TLS; nil when it has none.
func loadTLS(section string, c *config.TLS) (*secure.Material, error) {
	if !c.On() {
		return nil, nil
	}
	set := secure.Settings{
		MinVersion: c.Version(), ClientCA: c.ClientCA, Curves: c.CurveIDs(), Handshakes: c.Handshakes,
	}
	for _, text := range c.Certificates {
		certificate, key, err := config.SplitCertificate(text)
		if err != nil {
			return nil, fmt.Errorf("%s.certificates: %w", section, err)
		}
		set.Certificates = append(set.Certificates, secure.Pair{Certificate: certificate, Key: key})
	}
	m, err := secure.Load(set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", section, err)
	}
	return m, nil
}

// ports makes the TLS of both ports; nil for one without. They share the processors that
// the event loops leave.
func ports(set *settings, loops int) (front, admin *secure.Port) {
	computing := secure.NewComputing(max(1, runtime.GOMAXPROCS(0)-loops))
	if set.frontTLS != nil {
		front = secure.NewPort(set.frontTLS, computing)
	}
	if set.adminTLS != nil {
		admin = secure.NewPort(set.adminTLS, computing)
	}
	return front, admin
}

// reconfigureTLS exchanges the certificates. Whether a port has TLS at all is fixed while
// the server runs.
func (s *Server) reconfigureTLS(set *settings) {
	if s.frontTLS != nil && set.frontTLS != nil {
		s.frontTLS.Configure(set.frontTLS)
	}
	if s.adminTLS != nil && set.adminTLS != nil {
		s.adminTLS.Configure(set.adminTLS)
	}
}

// tlsPorts are the ports that have TLS, by role.
func (s *Server) tlsPorts() map[string]*secure.Port {
	list := make(map[string]*secure.Port)
	if s.frontTLS != nil {
		list["front"] = s.frontTLS
	}
	if s.adminTLS != nil {
		list["admin"] = s.adminTLS
	}
	return list
}

// addresses are those that the configuration has both ports listen on.
func addresses(cfg *config.Config) []reactor.Address {
	front, admin := &cfg.Front.TLS, &cfg.Admin.TLS
	list := []reactor.Address{
		{Key: "front.listen", Text: cfg.Front.Listen, TLS: front.On()},
		{Key: "admin.listen", Text: cfg.Admin.Listen, TLS: admin.On(), Admin: true},
	}
	if front.ListenPlain != "" {
		list = append(list, reactor.Address{Key: "front.tls.listen_plain", Text: front.ListenPlain})
	}
	if admin.ListenPlain != "" {
		list = append(list, reactor.Address{Key: "admin.tls.listen_plain", Text: admin.ListenPlain, Admin: true})
	}
	return list
}
