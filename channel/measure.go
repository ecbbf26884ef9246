package channel

// Measure is one figure of an engine for /metrics, in the terms of Prometheus.
type Measure struct {
	Name, Help   string
	Counter      bool   // it only grows; otherwise it is a gauge
	Label, Value string // one label, or "" for none
	N            float64
	Histogram    *Histogram // instead of N
}

// Histogram counts durations.
type Histogram struct {
	Count   uint64
	Sum     float64            // s
	Buckets map[float64]uint64 // upper bound in s → how many were at most that long
}

// Measurer is an Engine that has figures of its own. Measures is concurrency-safe and
// always names the same figures.
type Measurer interface{ Measures() []Measure }
