//go:build linux

package bench

import (
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Quantiles are times in milliseconds.
type Quantiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e6 }
	return Quantiles{Count: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e6}
}

// Sample is the state of a run at one time.
type Sample struct {
	Second     float64 `json:"second"` // since the start of the run
	Deliveries int64   `json:"deliveries"`
	Answered   int64   `json:"answered"`
	Connected  int64   `json:"connected"`
	RSS        int64   `json:"rss"`
	CPU        float64 `json:"cpu"`
}

// Machine is where a result comes from.
type Machine struct {
	CPUs   int    `json:"cpus"`
	Model  string `json:"model"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// Result is everything that a run has found out. README.md says what each
// figure means. Rates and CPU are of the counted time only.
type Result struct {
	Scenario Scenario  `json:"scenario"`
	Server   string    `json:"server"`
	Nodes    int       `json:"nodes"`
	Time     time.Time `json:"time"`
	Machine  Machine   `json:"machine"`

	Failures     int64  `json:"failures"` // anything but 0 makes the run void
	FirstFailure string `json:"first_failure,omitempty"`
	Total        Counts `json:"total"`
	Measured     Counts `json:"measured"`

	Seconds       float64   `json:"seconds"` // the counted time
	ConnectRate   float64   `json:"connections_per_second"`
	PublishRate   float64   `json:"publishes_per_second"`
	DeliveryRate  float64   `json:"deliveries_per_second"`
	CycleRate     float64   `json:"cycles_per_second,omitempty"`
	Latency       Quantiles `json:"latency"` // publish (or when it was meant) to delivery
	Answer        Quantiles `json:"answer"`  // publish request to its answer
	Cycle         Quantiles `json:"cycle"`   // churn: connect to message
	Probe         Quantiles `json:"probe"`   // delivery on the channel of the probe
	RSSFresh      int64     `json:"rss_fresh"`
	RSSIdle       int64     `json:"rss_idle"`
	RSSPeak       int64     `json:"rss_peak"`
	RSSEach       float64   `json:"rss_per_connection"`
	Descriptors   int       `json:"descriptors"`
	ServerCPU     float64   `json:"server_cpu_seconds"`
	StoreCPU      float64   `json:"store_cpu_seconds"`
	StoreRSS      int64     `json:"store_rss"`
	CPUPerMillion float64   `json:"server_cpu_seconds_per_million"`
	CPUOf         string    `json:"cpu_of"` // what the million is of
	HoldCPU       float64   `json:"hold_cpu_percent"`
	HoldStoreCPU  float64   `json:"hold_store_cpu_percent"`
	HoldNoops     int64     `json:"hold_noops"`
	NoopCPU       float64   `json:"cpu_seconds_per_million_noops"`
	ClientCPU     float64   `json:"client_cpu_seconds"`
	ClientRSS     int64     `json:"client_rss"`
	GCKnown       bool      `json:"gc_known"` // the server tells of its collector
	GCCycles      int64     `json:"gc_cycles"`
	GCPause       float64   `json:"gc_pause_ms"`

	LatencyHistogram []byte   `json:"latency_histogram"` // HdrHistogram V2, compressed, base64
	AnswerHistogram  []byte   `json:"answer_histogram"`
	Series           []Sample `json:"series"`
}

// merge adds up the workers' sheets.
func (r *Result) merge(sheets []*workerSheet) error {
	var latency, answer, cycle [][]byte
	var opening int64
	for _, s := range sheets {
		r.Total.add(s.Total)
		r.Measured.add(s.Measured)
		r.Seconds = max(r.Seconds, s.Seconds)
		r.ClientCPU += s.CPU
		r.ClientRSS += s.RSS
		opening = max(opening, s.Opening)
		if r.FirstFailure == "" {
			r.FirstFailure = s.FirstFailure
		}
		if s.Latency == nil {
			continue // the probe's
		}
		latency, answer, cycle = append(latency, s.Latency), append(answer, s.Answer), append(cycle, s.Cycle)
	}
	r.Failures = r.Total.Failures()
	if opening > 0 {
		r.ConnectRate = float64(r.Total.Connected-r.Total.Cycles) / (float64(opening) / 1e9)
	}
	l, err := mergeHistograms(latency...)
	if err != nil {
		return err
	}
	a, err := mergeHistograms(answer...)
	if err != nil {
		return err
	}
	c, err := mergeHistograms(cycle...)
	if err != nil {
		return err
	}
	r.Latency, r.Answer, r.Cycle = quantiles(l), quantiles(a), quantiles(c)
	if r.LatencyHistogram, err = encodeHistogram(l); err != nil {
		return err
	}
	r.AnswerHistogram, err = encodeHistogram(a)
	return err
}

// rates turns counts and CPU into figures.
func (r *Result) rates() {
	if r.Seconds > 0 {
		r.PublishRate = float64(r.Measured.Answered) / r.Seconds
		r.DeliveryRate = float64(r.Measured.Deliveries) / r.Seconds
		r.CycleRate = float64(r.Measured.Cycles) / r.Seconds
	}
	per := r.Measured.Deliveries
	r.CPUOf = "deliveries"
	switch {
	case r.Measured.Cycles > 0 && len(r.Scenario.Groups) == 1:
		per, r.CPUOf = r.Measured.Cycles, "cycles"
	case per == 0:
		per, r.CPUOf = r.Measured.Answered, "publishes"
	}
	if per > 0 {
		r.CPUPerMillion = r.ServerCPU / float64(per) * 1e6
	}
	if r.HoldNoops > 0 && r.Scenario.Hold > 0 {
		r.NoopCPU = r.HoldCPU / 100 * r.Scenario.Hold.Seconds() / float64(r.HoldNoops) * 1e6
	}
}

func thisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			m.Model = strings.TrimSpace(strings.TrimLeft(line, "\t: "))
		}
	}
	return m
}
