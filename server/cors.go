package server

// frontOrigins says which pages may read the front port's answers
// (front.allow_origins). It is immutable and concurrency-safe.
type frontOrigins struct {
	any    bool // "*"
	listed []string
}

func newFrontOrigins(allowed []string) frontOrigins {
	o := frontOrigins{listed: allowed}
	for _, origin := range allowed {
		o.any = o.any || origin == "*"
	}
	return o
}

// allow returns the value of Access-Control-Allow-Origin for a request's Origin,
// "" for none, and whether it depends on it.
func (o *frontOrigins) allow(origin []byte) (value string, vary bool) {
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
