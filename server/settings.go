package server

import (
	"fmt"
	"time"

	"icomet/channel"
	"icomet/httpparse"
)

// settings is a configuration made ready for use. It is immutable; a reload puts
// another one in its place, and every request looks at the present one once.
type settings struct {
	config         Config
	rules          *AddressRules
	front, admin   portTrust
	keys           adminKeys
	origins        adminOrigins
	jwt            *tokenVerifier // nil unless front.auth is jwt
	parse          httpparse.Limits
	outboundBuffer int64
	auth           bool
	anyOrigin      bool
	ticks          struct{ polling, request, idle uint32 }
}

func newSettings(cfg Config) (*settings, error) {
	rules, err := CompileAddressRules(cfg.Admin.Allow, cfg.Admin.Deny)
	if err != nil {
		return nil, err
	}
	keys, err := loadAdminKeys(&cfg.Admin)
	if err != nil {
		return nil, err
	}
	verifier, err := newTokenVerifier(&cfg.Front)
	if err != nil {
		return nil, err
	}
	s := &settings{
		config: cfg, rules: rules, keys: keys, jwt: verifier,
		parse: httpparse.Limits{
			RequestLine: int(cfg.Limits.RequestLine), Header: int(cfg.Limits.Header),
			Fields: cfg.Limits.HeaderFields, Body: int64(cfg.Limits.Body),
		},
		outboundBuffer: int64(cfg.Limits.OutboundBuffer),
		auth:           cfg.Front.Auth == "token",
	}
	if s.front, err = newPortTrust(cfg.Front.TrustedProxies, cfg.Front.ProxyProtocol); err != nil {
		return nil, fmt.Errorf("front.trusted_proxies: %w", err)
	}
	if s.admin, err = newPortTrust(cfg.Admin.TrustedProxies, cfg.Admin.ProxyProtocol); err != nil {
		return nil, fmt.Errorf("admin.trusted_proxies: %w", err)
	}
	s.origins = newAdminOrigins(&cfg.Admin)
	for _, o := range cfg.Front.AllowOrigins {
		s.anyOrigin = s.anyOrigin || o == "*"
	}
	// One more each: the tick that a deadline counts from can be nearly over.
	s.ticks.polling = toTicks(time.Duration(cfg.Front.PollingTimeout)*time.Second) + 1
	s.ticks.request = toTicks(time.Duration(cfg.Limits.RequestTimeout)) + 1
	s.ticks.idle = toTicks(time.Duration(cfg.Limits.IdleTimeout)) + 1
	return s, nil
}

// CheckConfig says what New or Reload would refuse: what LoadConfig cannot see, such
// as files of keys that are missing or open to others.
func CheckConfig(cfg Config) error {
	_, err := newSettings(cfg)
	return err
}

func (s *settings) hubLimits() channel.Limits {
	f := &s.config.Front
	return channel.Limits{
		MaxChannels: f.MaxChannels, MaxSubscribers: f.MaxSubscribersPerChannel,
		BufferSize: f.ChannelBufferSize, Timeout: time.Duration(f.ChannelTimeout) * time.Second,
	}
}

// origin is the value of Access-Control-Allow-Origin for a request's Origin, and
// whether it depends on it.
func (s *settings) origin(origin []byte) (value string, vary bool) {
	if s.anyOrigin {
		return "*", false
	}
	for _, o := range s.config.Front.AllowOrigins {
		if o == string(origin) {
			return o, true
		}
	}
	return "", true
}
