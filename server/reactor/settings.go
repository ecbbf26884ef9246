package reactor

import (
	"time"

	"icomet/httpparse"
	"icomet/server/access"
)

// Settings are what a reactor goes by. They are immutable; Configure puts others in
// their place, and every request looks at the present ones once.
type Settings struct {
	Parse          httpparse.Limits
	OutboundBuffer int64 // bytes that may wait for one slow connection
	SendBuffer     int   // bytes of the kernel's buffer for each connection; 0: the system's default

	PollingTimeout time.Duration // silence before a heartbeat
	RequestTimeout time.Duration // from the first byte of a request to its last
	IdleTimeout    time.Duration // from an answer to the next request
	DrainDelay     time.Duration // between Shutdown and the drain
	DrainTimeout   time.Duration // for the subscribers to leave in, see Shutdown
	Keepalive      time.Duration // until a silent peer is given up, by the kernel

	Connections      int // cap of open connections; 0: what the descriptors allow
	ConnectionsPerIP int // cap of front connections of one client; 0: none

	AdminRules             *access.Rules
	FrontTrust, AdminTrust access.Trust
	Origins                access.FrontOrigins

	ticks struct{ polling, request, idle uint32 }
}

// prepare sets what follows from the rest. One tick more each: the tick that a deadline
// counts from can be nearly over.
func (s *Settings) prepare() {
	s.ticks.polling = toTicks(s.PollingTimeout) + 1
	s.ticks.request = toTicks(s.RequestTimeout) + 1
	s.ticks.idle = toTicks(s.IdleTimeout) + 1
}
