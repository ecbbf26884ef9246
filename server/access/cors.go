package access

import (
	"bytes"
	"slices"

	"icomet/server/wire"
)

// FrontOrigins says which pages may read the front port's answers
// (front.allow_origins). It is immutable and concurrency-safe.
type FrontOrigins struct {
	any    bool     // "*"
	listed []string // the others
}

// NewFrontOrigins takes front.allow_origins, in which "*" allows all.
func NewFrontOrigins(allowed []string) FrontOrigins {
	any, listed := splitOrigins(allowed)
	return FrontOrigins{any, listed}
}

// splitOrigins takes "*" out of a list.
func splitOrigins(allowed []string) (any bool, listed []string) {
	listed = slices.DeleteFunc(slices.Clone(allowed), func(o string) bool { return o == "*" })
	return len(listed) < len(allowed), listed
}

// Allow returns what the answer to a request with this Origin says. An origin that is listed
// by name is named also beside "*", because only then its pages may send credentials.
func (o *FrontOrigins) Allow(origin []byte) wire.CORS {
	c := wire.CORS{Vary: len(o.listed) > 0 || !o.any, Anyone: o.any}
	if o.any {
		c.Origin = "*"
	}
	for _, listed := range o.listed {
		if listed == string(origin) {
			c.Origin = listed
		}
	}
	return c
}

// Serves reports that a page of this origin may connect to a server that it calls host. CORS
// does not guard a WebSocket. Who is no page has no origin.
func (o *FrontOrigins) Serves(origin, host []byte) bool {
	if o.any || len(origin) == 0 || slices.Contains(o.listed, string(origin)) {
		return true
	}
	_, own, ok := bytes.Cut(origin, []byte("://"))
	return ok && bytes.EqualFold(own, host)
}
