package monitor

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"icomet/channel"
	"icomet/internal/version"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// metric is one that has a single value.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*Report) float64
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// simpleMetrics are read from the report of /stats, so that both tell the same.
var simpleMetrics = []metric{
	{"icomet_channels", "Channels on this node.", gauge, func(r *Report) float64 { return float64(r.Channels) }},
	{"icomet_subscribers", "Subscribers on this node.", gauge, func(r *Report) float64 { return float64(r.Subscribers) }},
	{"icomet_requests_total", "Requests, of both ports.", counter, func(r *Report) float64 { return float64(r.Requests) }},
	{"icomet_publish_total", "Calls of /push and /pub, refused ones too.", counter, func(r *Report) float64 { return float64(r.Publishes) }},
	{"icomet_broadcast_total", "Calls of /broadcast, refused ones too.", counter, func(r *Report) float64 { return float64(r.Broadcasts) }},
	{"icomet_deliveries_total", "Messages given to subscribers that waited for them.", counter, func(r *Report) float64 { return float64(r.Deliveries) }},
	{"icomet_replayed_total", "Stored messages given to subscribers that came later.", counter, func(r *Report) float64 { return float64(r.Replayed) }},
	{"icomet_heartbeats_total", "Heartbeats sent.", counter, func(r *Report) float64 { return float64(r.Heartbeats) }},
	{"icomet_received_bytes_total", "Bytes received, of both ports.", counter, func(r *Report) float64 { return float64(r.BytesIn) }},
	{"icomet_sent_bytes_total", "Bytes sent, or queued to be sent, of both ports.", counter, func(r *Report) float64 { return float64(r.BytesOut) }},
	{"icomet_accepted_total", "Connections accepted, of both ports.", counter, func(r *Report) float64 { return float64(r.Connections.Accepted) }},
	{"icomet_accept_failures_total", "Failed attempts to accept a connection.", counter, func(r *Report) float64 { return float64(r.Connections.AcceptFailures) }},
	{"icomet_presence_dropped_total", "Presence lines that a loop with a full queue has not got.", counter, func(r *Report) float64 { return float64(r.PresenceDropped) }},
	{"icomet_log_failures_total", "Log lines that could not be written.", counter, func(r *Report) float64 { return float64(r.LogFailures) }},
	{"icomet_panics_total", "Panics recovered: bugs.", counter, func(r *Report) float64 { return float64(r.Panics) }},
	{"icomet_draining", "1 while the server is shutting down.", gauge, func(r *Report) float64 { return oneIf(r.Draining) }},
	{"icomet_connections_limit", "Connections, of both ports, that are let in (limits.connections, or what the limit of open files allows).", gauge, func(r *Report) float64 { return float64(r.Connections.Limit) }},
	{"icomet_memory_used_bytes", "Memory in use, as it is compared with icomet_memory_limit_bytes.", gauge, func(r *Report) float64 { return float64(r.Runtime.Used) }},
	{"icomet_memory_limit_bytes", "runtime.memory_limit; 0: none.", gauge, func(r *Report) float64 { return float64(r.Runtime.Limit) }},
	{"icomet_memory_refusing", "1 while new channels and subscribers are refused because memory is short.", gauge, func(r *Report) float64 { return oneIf(r.Runtime.Refusing) }},
	{"process_resident_memory_bytes", "Resident memory size in bytes.", gauge, func(r *Report) float64 { return float64(r.Runtime.RSS) }},
	{"process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", counter, func(*Report) float64 { return cpuSeconds() }},
}

// limitMetrics are of the present configuration.
var limitMetrics = []struct {
	name, help string
	value      func(*config.Config) float64
}{
	{"icomet_channels_limit", "Channels that are created (front.max_channels).", func(c *config.Config) float64 { return float64(c.Front.MaxChannels) }},
	{"icomet_channel_subscribers_limit", "Subscribers of one channel (front.max_subscribers_per_channel).", func(c *config.Config) float64 { return float64(c.Front.MaxSubscribersPerChannel) }},
	{"icomet_outbound_buffer_limit_bytes", "What may wait for one slow connection (limits.outbound_buffer).", func(c *config.Config) float64 { return float64(c.Limits.OutboundBuffer) }},
	{"icomet_queue_limit_messages", "What may wait for one loop, in messages.", func(*config.Config) float64 { return reactor.InboxMessages }},
	{"icomet_queue_limit_bytes", "What may wait for one loop, in bytes of content.", func(*config.Config) float64 { return reactor.InboxBytes }},
}

// refusingStatuses are the reasons for which a request is refused by its status.
var refusingStatuses = []string{
	"http_400", "http_401", "http_403", "http_404", "http_405", "http_408", "http_413", "http_414",
	"http_415", "http_417", "http_429", "http_431", "http_500", "http_501", "http_503", "http_505",
}

func oneIf(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descBuildInfo   = desc("icomet_build_info", "Always 1; the labels say what runs.", "version", "goversion", "revision", "date", "gnet")
	descStart       = desc("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
	descConnections = desc("icomet_connections", "Open connections. The transport is how a subscriber gets messages; none: no open response.", "role", "transport")
	descClosed      = desc("icomet_closed_total", "Connections closed.", "reason")
	descRefused     = desc("icomet_refused_total", "Requests and connections refused: http_… by status, the others in-band or before a request.", "reason")
	descToWrite     = desc("icomet_publish_to_write_seconds", "From queueing a published message to a loop until it was written to a subscriber; counted once for each subscriber.")
	descLag         = desc("icomet_loop_lag_seconds", "How long a task waits for the event loop: the worst of the last 15 to 30 seconds.", "loop")
	descQueued      = desc("icomet_queued_messages", "Messages published and not yet written by the loop.", "loop")
	descQueuedBytes = desc("icomet_queued_bytes", "The same in bytes of content.", "loop")
	descLoopWrites  = desc("icomet_loop_deliveries_total", "icomet_deliveries_total by event loop.", "loop")
)

// collector reads at a scrape what the loops have counted.
type collector struct{ monitor *Monitor }

// newMetrics makes the handler of /metrics.
func newMetrics(m *Monitor) http.Handler {
	r := prometheus.NewRegistry()
	// Without client_golang's process collector: it lists the open files, of which
	// there can be a million.
	r.MustRegister(collectors.NewGoCollector(), collector{m})
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// Describe sends nothing: the descriptions come with the values.
func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	m := c.monitor
	r := m.Report()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	build := version.Of()
	send(descBuildInfo, gauge, 1, version.Release, build.Go, build.Commit, build.Date, build.Gnet)
	send(descStart, gauge, float64(m.reactor.Started().UnixMilli())/1e3)
	for i := range simpleMetrics {
		one := &simpleMetrics[i]
		send(desc(one.name, one.help), one.kind, one.value(r))
	}
	cfg := m.config()
	for _, one := range limitMetrics {
		send(desc(one.name, one.help), gauge, one.value(cfg))
	}
	for reason, n := range r.Closed {
		send(descClosed, counter, float64(n), reason)
	}
	for _, status := range refusingStatuses {
		r.Refused[status] += 0 // a series is there before its first event
	}
	for reason, n := range r.Refused {
		send(descRefused, counter, float64(n), reason)
	}
	for _, n := range m.connections() {
		send(descConnections, gauge, float64(n.count), n.role, n.transport)
	}
	for i, c := range m.reactor.Counters() {
		loop := strconv.Itoa(i)
		send(descLag, gauge, c.WorstLag.Load().Seconds(), loop)
		send(descQueued, gauge, float64(c.Queued.Load()), loop)
		send(descQueuedBytes, gauge, float64(c.QueuedBytes.Load()), loop)
		send(descLoopWrites, counter, float64(c.Deliveries.Load()), loop)
	}
	tlsMetrics(r, send)
	out <- m.toWrite()
	if e, ok := m.engine.(channel.Measurer); ok {
		for _, one := range e.Measures() {
			out <- measure(&one)
		}
	}
}

// measure is a figure of the engine's.
func measure(m *channel.Measure) prometheus.Metric {
	var labels, values []string
	if m.Label != "" {
		labels, values = []string{m.Label}, []string{m.Value}
	}
	d := desc(m.Name, m.Help, labels...)
	if h := m.Histogram; h != nil {
		return prometheus.MustNewConstHistogram(d, h.Count, h.Sum, h.Buckets, values...)
	}
	kind := gauge
	if m.Counter {
		kind = counter
	}
	return prometheus.MustNewConstMetric(d, kind, m.N, values...)
}

// connectionCount is how many connections of a port are in one state.
type connectionCount struct {
	role, transport string
	count           int64
}

// connections sorts the open connections by port and transport.
func (m *Monitor) connections() []connectionCount {
	out := make([]connectionCount, 0, wire.TransportKinds+1)
	front, admin := int64(0), int64(0)
	for _, c := range m.reactor.Counters() {
		front += c.Front.Load()
		admin += c.Admin.Load()
	}
	for t := wire.TransportPoll; t < wire.TransportKinds; t++ {
		n := connectionCount{role: "front", transport: t.String()}
		for _, c := range m.reactor.Counters() {
			n.count += c.Subscribers[t].Load()
		}
		if t < wire.TransportPresence {
			front -= n.count
		} else {
			n.role = "admin"
			admin -= n.count
		}
		out = append(out, n)
	}
	// A connection that opens or closes meanwhile can be missing in one of the two.
	return append(out, connectionCount{"front", "none", max(0, front)}, connectionCount{"admin", "none", max(0, admin)})
}

// toWrite adds up the loops' histograms.
func (m *Monitor) toWrite() prometheus.Metric {
	buckets := make(map[float64]uint64, len(reactor.LatencyBounds))
	count, sum := uint64(0), 0.0
	for i := range len(reactor.LatencyBounds) + 1 {
		for _, c := range m.reactor.Counters() {
			count += c.ToWrite.Buckets[i].Load()
		}
		if i < len(reactor.LatencyBounds) {
			buckets[reactor.LatencyBounds[i].Seconds()] = count // Prometheus's are cumulative
		}
	}
	for _, c := range m.reactor.Counters() {
		sum += float64(c.ToWrite.Sum.Load()) / 1e9
	}
	return prometheus.MustNewConstHistogram(descToWrite, count, sum, buckets)
}
