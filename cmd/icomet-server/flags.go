package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

const usage = `icomet-server holds the subscribers of channels over HTTP and pushes to them.

Usage: icomet-server [flags] [CONFIG]

CONFIG is a TOML file. Without one the server runs with its defaults:
subscribers on 0.0.0.0:8100, publishing and control on 127.0.0.1:8000.
ICOMET_… environment variables win over the file.

Flags:
  -t          check the configuration and exit: 0 when it is good, else 1
  -s ACTION   signal the server that runs with the pidfile of the configuration:
                stop     drain, and wait until it has ended
                restart  stop it, then run in the foreground
                reload   read the configuration again, dropping nobody
                reopen   open the log file again, after it was rotated
  -import FILE
              print the CONFIG that does what FILE, the icomet.conf of an original
              iComet server, does
  -health [CONFIG|URL]
              ask the running server whether it is ready (/readyz of the admin
              port, by TLS if it has it, without verifying whose certificate it
              is), and exit: 0 when it is, else 1
  -version    print the version and what it was built from
  -h          print this help

Signals: SIGTERM and SIGINT drain (a second one ends at once, status 1),
SIGHUP reloads, SIGUSR1 reopens the log.

Examples:
  icomet-server                                   run with the defaults
  icomet-server config.toml                       run with a file
  ICOMET_FRONT_LISTEN=:80 icomet-server           change one key
  icomet-server -t config.toml                    check a file
  icomet-server -s reload /etc/icomet/config.toml apply a changed file
  icomet-server -health http://127.0.0.1:8000     is that server ready?
`

// options is the parsed command line.
type options struct {
	config  string // path, "" = none; with health it may be a URL
	test    bool
	version bool
	health  bool
	signal  string // stop, restart, reload, reopen or ""
	imports string // the path of an original server's file, "" = none
}

var errHelp = flag.ErrHelp

func parseFlags(args []string) (options, error) {
	var o options
	set := flag.NewFlagSet("icomet-server", flag.ContinueOnError)
	set.SetOutput(io.Discard) // the caller prints
	set.BoolVar(&o.test, "t", false, "")
	set.BoolVar(&o.health, "health", false, "")
	set.BoolVar(&o.version, "version", false, "")
	set.Func("s", "", func(action string) error {
		switch action {
		case "stop", "restart", "reload", "reopen":
			o.signal = action
			return nil
		}
		return errors.New("must be stop, restart, reload or reopen")
	})
	set.Func("import", "", func(path string) error {
		if o.imports = path; path == "" {
			return errors.New("FILE is empty")
		}
		return nil
	})
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 1 {
		return o, fmt.Errorf("one CONFIG at most, and flags before it; %q is too much", set.Arg(1))
	}
	if set.NArg() == 1 {
		o.config = set.Arg(0)
		if o.config == "" {
			return o, errors.New("CONFIG is empty")
		}
	}
	if o.test && o.signal != "" {
		return o, errors.New("-t and -s do not go together")
	}
	if o.imports != "" && (o.config != "" || o.test || o.signal != "") {
		return o, errors.New("-import goes alone")
	}
	if o.health && (o.test || o.signal != "") {
		return o, errors.New("-health and -t or -s do not go together")
	}
	return o, nil
}
