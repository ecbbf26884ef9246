// Package config is the server's configuration: its keys with their defaults and ranges,
// loading from a TOML file and the environment, and error texts that name file, line, key
// and value.
//
// It does not open what the keys name (key files, addresses, logs) and does not know who
// uses the values. Everything in it may be called from any goroutine; a Config is
// immutable once it is loaded.
package config
