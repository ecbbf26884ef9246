package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"icomet/channel"
	"icomet/channel/redis"
	"icomet/internal/version"
	"icomet/server/config"
)

// engineOf returns a function that makes the configured engine; nil: the server's own,
// memory. It reads the files that the configuration names.
func engineOf(cfg *config.Config, log *slog.Logger) (func(*channel.Hub) (channel.Engine, error), error) {
	if cfg.Engine.Type != "redis" {
		return nil, nil
	}
	c := &cfg.Engine.Redis
	o := redis.Options{
		Addresses: c.Address, Sentinel: c.Sentinel, Username: c.Username, Password: c.Password,
		DB: c.DB, Prefix: c.Prefix, Pool: c.Pool, DialTimeout: time.Duration(c.DialTimeout),
		Timeout: time.Duration(c.Timeout), NodeTimeout: time.Duration(c.NodeTimeout), Logger: log,
		About: map[string]string{
			"version": version.Release, "front": cfg.Front.Listen, "admin": cfg.Admin.Listen,
			"started": time.Now().UTC().Format(time.RFC3339),
		},
	}
	var err error
	if o.Password, err = password("password", c.Password, c.PasswordFile); err != nil {
		return nil, err
	}
	o.SentinelUsername = c.SentinelUsername
	if o.SentinelPassword, err = password("sentinel_password", c.SentinelPassword, c.SentinelPasswordFile); err != nil {
		return nil, err
	}
	if c.TLS {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if c.TLSCA != "" {
			pem, err := os.ReadFile(c.TLSCA)
			if err != nil {
				return nil, fmt.Errorf("engine.redis.tls_ca: %w", err)
			}
			o.TLS.RootCAs = x509.NewCertPool()
			if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("engine.redis.tls_ca: %s has no certificate", c.TLSCA)
			}
		}
	}
	return func(hub *channel.Hub) (channel.Engine, error) {
		o.Hub = hub
		e, err := redis.New(o)
		if err != nil {
			return nil, fmt.Errorf("engine.redis: %w", err)
		}
		return e, nil
	}, nil
}

// password is what key of [engine.redis] or the file of KEY_file says.
func password(key, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", fmt.Errorf("engine.redis.%s and %[1]s_file are both set", key)
	}
	text, err := config.ReadSecret(file)
	if err != nil {
		return "", fmt.Errorf("engine.redis.%s_file: open %s: %w", key, file, err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
