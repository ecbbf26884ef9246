package server

import (
	"fmt"
	"time"

	"icomet/channel"
	"icomet/channel/snapshot"
	"icomet/httpparse"
	"icomet/server/access"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/secure"
)

// settings is a configuration made ready for use. It is immutable; a reload puts
// another one in its place, and every request looks at the present one once.
type settings struct {
	config  config.Config
	reactor *reactor.Settings
	keys    access.Keys
	origins access.AdminOrigins
	jwt     *access.TokenVerifier // nil when auth is jwt for no channel

	frontTLS, adminTLS *secure.Material // nil for a port without TLS
}

// The kinds of front.auth that need more than a word.
const (
	authToken = "token"
	authJWT   = "jwt"
)

// authOf is how the subscribers of a channel are judged.
func (s *settings) authOf(name []byte) string {
	for i := range s.config.Channels {
		if c := &s.config.Channels[i]; channel.Match(c.Match, name) {
			return c.Auth
		}
	}
	return s.config.Front.Auth
}

func newSettings(cfg config.Config) (*settings, error) {
	keys, err := access.LoadKeys(&cfg.Admin)
	if err != nil {
		return nil, err
	}
	verifier, err := access.NewTokenVerifier(&cfg)
	if err != nil {
		return nil, err
	}
	set, err := reactorSettings(&cfg)
	if err != nil {
		return nil, err
	}
	s := &settings{
		config: cfg, reactor: set, keys: keys, origins: access.NewAdminOrigins(&cfg.Admin),
		jwt: verifier,
	}
	if s.frontTLS, err = loadTLS("front.tls", &cfg.Front.TLS); err != nil {
		return nil, err
	}
	if s.adminTLS, err = loadTLS("admin.tls", &cfg.Admin.TLS); err != nil {
		return nil, err
	}
	return s, nil
}

func reactorSettings(cfg *config.Config) (*reactor.Settings, error) {
	set := &reactor.Settings{
		Parse: httpparse.Limits{
			RequestLine: int(cfg.Limits.RequestLine), Header: int(cfg.Limits.Header),
			Fields: cfg.Limits.HeaderFields, Body: int64(cfg.Limits.Body),
		},
		OutboundBuffer: int64(cfg.Limits.OutboundBuffer), SendBuffer: int(cfg.Limits.SendBuffer),
		PollingTimeout: time.Duration(cfg.Front.PollingTimeout) * time.Second,
		RequestTimeout: time.Duration(cfg.Limits.RequestTimeout), IdleTimeout: time.Duration(cfg.Limits.IdleTimeout),
		DrainDelay: time.Duration(cfg.Limits.DrainDelay), DrainTimeout: time.Duration(cfg.Limits.DrainTimeout),
		Keepalive:   time.Duration(cfg.Limits.Keepalive),
		Connections: cfg.Limits.Connections, ConnectionsPerIP: cfg.Limits.ConnectionsPerIP,
		Commands: cfg.Limits.Commands, Channels: cfg.Limits.ChannelsPerConnection,
		Compression: cfg.Front.WebSocketCompression,
		Origins:     access.NewFrontOrigins(cfg.Front.AllowOrigins),

		FrontStrictTransport: cfg.Front.TLS.StrictTransportSecurity,
		AdminStrictTransport: cfg.Admin.TLS.StrictTransportSecurity,
	}
	var err error
	if set.AdminRules, err = access.CompileRules(cfg.Admin.Allow, cfg.Admin.Deny); err != nil {
		return nil, err
	}
	if set.FrontTrust, err = access.NewTrust(cfg.Front.TrustedProxies, cfg.Front.ProxyProtocol); err != nil {
		return nil, fmt.Errorf("front.trusted_proxies: %w", err)
	}
	if set.AdminTrust, err = access.NewTrust(cfg.Admin.TrustedProxies, cfg.Admin.ProxyProtocol); err != nil {
		return nil, fmt.Errorf("admin.trusted_proxies: %w", err)
	}
	return set, nil
}

// CheckConfig says what New or Reload would refuse beyond what config.Load checks, such
// as key files that are missing or that other users can read.
func CheckConfig(cfg config.Config) error {
	if _, err := newSettings(cfg); err != nil {
		return err
	}
	if path := cfg.Engine.Snapshot; path != "" {
		if err := snapshot.Check(path); err != nil {
			return fmt.Errorf("engine.snapshot: %w", err)
		}
	}
	return nil
}

func (s *settings) hubLimits() channel.Limits {
	f := &s.config.Front
	l := channel.Limits{
		MaxChannels: f.MaxChannels, MaxSubscribers: f.MaxSubscribersPerChannel,
		BufferSize: f.ChannelBufferSize, Timeout: time.Duration(f.ChannelTimeout) * time.Second,
		IDWindow: f.IDWindow,
	}
	for i := range s.config.Channels {
		c := &s.config.Channels[i]
		l.Classes = append(l.Classes, channel.Class{
			Match: c.Match, BufferSize: c.BufferSize, BufferTTL: time.Duration(c.BufferTTL),
			BufferBytes: int(c.BufferBytes), Timeout: time.Duration(c.Timeout) * time.Second,
			MaxSubscribers: c.MaxSubscribers, IDWindow: f.IDWindow,
		})
	}
	return l
}
