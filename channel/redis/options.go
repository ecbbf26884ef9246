package redis

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

// Options is what New needs.
type Options struct {
	Addresses []string // one; several for Cluster; the Sentinels' when Sentinel is set
	Sentinel  string   // the master's name
	Username  string
	Password  string
	TLS       *tls.Config // nil: none
	DB        int         // not with Cluster
	Prefix    string      // of all keys; without braces
	Pool      int         // pipelines of calls to each master

	DialTimeout time.Duration
	// Timeout bounds one call to Redis, and with it the wait of a publisher.
	Timeout time.Duration
	// NodeTimeout is how long a silent node counts as alive.
	NodeTimeout time.Duration
	// CheckInterval is how often a quiet channel is compared with Redis; 0: 10 s.
	CheckInterval time.Duration
	// KeepTime is how long Redis keeps what is stored when no node is there any more;
	// 0: a day. The same on all nodes, and far longer than NodeTimeout.
	KeepTime time.Duration

	Hub    *channel.Hub
	Logger *slog.Logger
	// About is what the other nodes' operators are shown of this one.
	About map[string]string
}

const (
	defaultCheck = 10 * time.Second
	defaultKeep  = 24 * time.Hour
	// pingInterval and pingTimeout find a connection that is open but dead.
	pingInterval = time.Second
	pingTimeout  = 2 * time.Second
	// pipelineQueue is the commands in flight on a connection, a power of two in bits.
	pipelineQueue = 12
)

func (o *Options) clientOption() rueidis.ClientOption {
	c := rueidis.ClientOption{
		InitAddress: o.Addresses, Username: o.Username, Password: o.Password, TLSConfig: o.TLS,
		SelectDB: o.DB, ClientName: "icomet", DisableCache: true,
		Dialer:           net.Dialer{Timeout: o.DialTimeout, KeepAlive: pingInterval},
		ConnWriteTimeout: pingTimeout, RingScaleEachConn: pipelineQueue,
		// One connection for all calls: several would not keep the order of a
		// publisher's messages.
		PipelineMultiplex: -1,
	}
	if o.Sentinel != "" {
		c.Sentinel = rueidis.SentinelOption{
			MasterSet: o.Sentinel, Dialer: c.Dialer, TLSConfig: o.TLS,
			TopologyRefreshInterval: time.Second,
		}
	}
	return c
}

func (o *Options) check() error {
	switch {
	case len(o.Addresses) == 0:
		return errors.New("no address")
	case o.DB != 0 && len(o.Addresses) > 1 && o.Sentinel == "":
		return errors.New("a Cluster has no databases but 0")
	}
	return nil
}
