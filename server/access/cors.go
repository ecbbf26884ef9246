package access

// FrontOrigins says which pages may read the front port's answers
// (front.allow_origins). It is immutable and concurrency-safe.
type FrontOrigins struct {
	any    bool // "*"
	listed []string
}

// NewFrontOrigins takes front.allow_origins, in which "*" allows all.
func NewFrontOrigins(allowed []string) FrontOrigins {
	o := FrontOrigins{listed: allowed}
	for _, origin := range allowed {
		o.any = o.any || origin == "*"
	}
	return o
}

// Allow returns the value of Access-Control-Allow-Origin for a request's Origin,
// "" for none, and whether it depends on it.
func (o *FrontOrigins) Allow(origin []byte) (value string, vary bool) {
	if o.any {
		return "*", false
	}
	for _, listed := range o.listed {
		if listed == string(origin) {
			return listed, true
		}
	}
	return "", true
}
