package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

// Options configure New.
type Options struct {
	Addresses []string // one; several for Cluster; the Sentinels' when Sentinel is set
	Sentinel  string   // the name that the Sentinels know the master by; "": no Sentinel
	Username  string
	Password  string
	// SentinelUsername and SentinelPassword are for the Sentinels, which may have others.
	SentinelUsername, SentinelPassword string
	TLS                                *tls.Config // nil: none
	DB                                 int         // 0 in a Cluster
	Prefix                             string      // of all keys; no braces
	Pool                               int         // lanes (pipelines of calls) to each master, at least 1

	// DialTimeout bounds the making of a connection.
	DialTimeout time.Duration
	// Timeout bounds one call to Redis, and so the time until a call is answered.
	Timeout time.Duration
	// NodeTimeout is how long a silent node counts as alive.
	NodeTimeout time.Duration
	// CheckInterval is how often a quiet channel is compared with Redis; 0: 10 s.
	CheckInterval time.Duration
	// KeepTime is how long Redis keeps the channels when no node is left; 0: a day. It
	// must be the same on all nodes and far longer than NodeTimeout.
	KeepTime time.Duration

	Hub    *channel.Hub // without channels and subscribers
	Logger *slog.Logger
	// About is what the other nodes' /stats show of this node.
	About map[string]string

	seams seams
}

// seams are what the simulation replaces.
type seams struct {
	dial       func(ctx context.Context, addr string, d *net.Dialer, t *tls.Config) (net.Conn, error) // nil: the network's
	partitions int                                                                                    // 0: defaultPartitions
	node       string                                                                                 // this node's name; "": nodeName()
	small      bool                                                                                   // connections with small buffers and queues
	random     func() uint64                                                                          // nil: math/rand's
}

func (s *seams) fill() {
	if s.partitions == 0 {
		s.partitions = defaultPartitions
	}
	if s.node == "" {
		s.node = nodeName()
	}
	if s.random == nil {
		s.random = rand.Uint64
	}
}

const (
	defaultCheck = 10 * time.Second
	defaultKeep  = 24 * time.Hour
	// pingInterval and pingTimeout find a connection that is open but dead.
	pingInterval = time.Second
	pingTimeout  = 2 * time.Second
	// pipelineQueue is the base-2 logarithm of the commands in flight on a connection.
	pipelineQueue = 12
)

func (o *Options) clientOption(d *dialer) rueidis.ClientOption {
	c := rueidis.ClientOption{
		InitAddress: o.Addresses, Username: o.Username, Password: o.Password, TLSConfig: o.TLS,
		DialCtxFn: d.dial, SelectDB: o.DB, ClientName: "icomet", DisableCache: true,
		Dialer:           net.Dialer{Timeout: o.DialTimeout, KeepAlive: pingInterval},
		ConnWriteTimeout: pingTimeout, RingScaleEachConn: pipelineQueue,
		RetryDelay: func(attempts int, _ rueidis.Completed, _ error) time.Duration {
			return retryDelay(attempts) + time.Duration(o.seams.random()%uint64(time.Millisecond))
		},
		// One connection for all calls: several would not keep a publisher's messages in
		// order.
		PipelineMultiplex: -1,
	}
	if o.seams.small {
		c.ReadBufferEachConn, c.WriteBufferEachConn, c.RingScaleEachConn = 4<<10, 4<<10, 9
	}
	if o.Sentinel != "" {
		c.Sentinel = rueidis.SentinelOption{
			MasterSet: o.Sentinel, Dialer: c.Dialer, TLSConfig: o.TLS,
			Username: o.SentinelUsername, Password: o.SentinelPassword,
			TopologyRefreshInterval: time.Second,
		}
	}
	return c
}

// retryDelay is the client library's pause before it repeats a command that only reads.
func retryDelay(attempts int) time.Duration {
	return min(time.Millisecond<<min(attempts, 10), reconnectPause)
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
