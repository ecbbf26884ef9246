//go:build linux

package report

import (
	"time"

	"icomet/bench/scenario"
	"icomet/bench/tally"
)

// Sample is the state of a run at one time: counts since its start, the servers' RSS in
// bytes and CPU time in seconds.
type Sample struct {
	Second     float64 `json:"second"` // since the start of the run
	Deliveries int64   `json:"deliveries"`
	Answered   int64   `json:"answered"`
	Connected  int64   `json:"connected"`
	RSS        int64   `json:"rss"`
	CPU        float64 `json:"cpu"`
}

// Machine is where a result was measured.
type Machine struct {
	CPUs   int    `json:"cpus"`
	Model  string `json:"model"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// Result is everything that a run found out; README.md of the harness says what each figure
// means. Rates and CPU (seconds) are of the counted time only, memory is in bytes. Its JSON
// is what icomet-bench -json writes.
type Result struct {
	Scenario scenario.Scenario `json:"scenario"`
	Server   string            `json:"server"`
	Version  string            `json:"version,omitempty"` // as the server says
	Nodes    int               `json:"nodes"`
	Time     time.Time         `json:"time"`
	Machine  Machine           `json:"machine"`

	Failures     int64        `json:"failures"` // with any, the run is no measurement
	FirstFailure string       `json:"first_failure,omitempty"`
	Total        tally.Counts `json:"total"`
	Measured     tally.Counts `json:"measured"`

	Seconds       float64         `json:"seconds"` // the counted time
	ConnectRate   float64         `json:"connections_per_second"`
	PublishRate   float64         `json:"publishes_per_second"`
	DeliveryRate  float64         `json:"deliveries_per_second"`
	CycleRate     float64         `json:"cycles_per_second,omitempty"`
	Latency       tally.Quantiles `json:"latency"` // publish (or when it was meant) to delivery
	Answer        tally.Quantiles `json:"answer"`  // publish request to its answer
	Cycle         tally.Quantiles `json:"cycle"`   // churn: connect to message
	Probe         tally.Quantiles `json:"probe"`   // delivery on the channel of the probe
	RSSFresh      int64           `json:"rss_fresh"`
	RSSIdle       int64           `json:"rss_idle"`
	RSSPeak       int64           `json:"rss_peak"`
	RSSEach       float64         `json:"rss_per_connection"`
	RSSAdded      float64         `json:"rss_per_additional_subscription,omitempty"`
	Descriptors   int             `json:"descriptors"`
	ServerCPU     float64         `json:"server_cpu_seconds"`
	StoreCPU      float64         `json:"store_cpu_seconds"`
	StoreRSS      int64           `json:"store_rss"`
	CPUPerMillion float64         `json:"server_cpu_seconds_per_million"`
	CPUOf         string          `json:"cpu_of"` // what the million is of
	HoldCPU       float64         `json:"hold_cpu_percent"`
	HoldStoreCPU  float64         `json:"hold_store_cpu_percent"`
	HoldNoops     int64           `json:"hold_noops"`
	NoopCPU       float64         `json:"cpu_seconds_per_million_noops"`
	ClientCPU     float64         `json:"client_cpu_seconds"`
	ClientRSS     int64           `json:"client_rss"`
	GCKnown       bool            `json:"gc_known"` // the servers say how often they collected garbage
	GCCycles      int64           `json:"gc_cycles"`
	GCPause       float64         `json:"gc_pause_ms"`

	LatencyHistogram []byte   `json:"latency_histogram"` // HdrHistogram V2, compressed, base64
	AnswerHistogram  []byte   `json:"answer_histogram"`
	Series           []Sample `json:"series"`
}
