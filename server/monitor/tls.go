package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"icomet/server/secure"
)

const (
	// expirySoon is how long before the end of a certificate an operator is warned.
	expirySoon = 14 * 24 * time.Hour
	// expiryEvery is how often the certificates are looked at.
	expiryEvery = time.Hour
	// expiryAgain is how often the same certificate is warned of.
	expiryAgain = 24 * time.Hour
)

var (
	descHandshakes = desc("icomet_tls_handshakes_total", "TLS handshakes by their end: ok, failed (a fault in the protocol, nothing in common, an alert), timeout, busy (too many waited), aborted (the connection broke), no_hello (no TLS, or no whole hello in time).", "role", "result")
	descVersions   = desc("icomet_tls_versions_total", "Successful TLS handshakes by version.", "role", "version")
	descResumed    = desc("icomet_tls_resumed_total", "Successful TLS handshakes that resumed an earlier session.", "role")
	descInFlight   = desc("icomet_tls_handshakes_in_flight", "TLS handshakes at work; tls.handshakes is the limit.", "role")
	descWaiting    = desc("icomet_tls_handshakes_waiting", "Clients whose TLS handshake waits for a place.", "role")
	descExpiry     = desc("icomet_tls_certificate_expiry_timestamp_seconds", "When the certificate, or one above it in its file, ends, since unix epoch in seconds.", "role", "file")
)

// tlsReport is the TLS of one port in /stats.
type tlsReport struct {
	InFlight     int64               `json:"handshakes_in_flight"`
	Waiting      int64               `json:"handshakes_waiting"`
	Handshakes   map[string]uint64   `json:"handshakes_total_by_result"`
	Versions     map[string]uint64   `json:"versions_total"`
	Resumed      uint64              `json:"resumed_total"`
	Certificates []certificateReport `json:"certificates"`
}

type certificateReport struct {
	File     string    `json:"file"`
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not_after"`
}

// reportTLS is by role; nil when no port has TLS.
func (m *Monitor) reportTLS() map[string]tlsReport {
	var out map[string]tlsReport
	for role, port := range m.tls {
		c := port.Counters()
		r := tlsReport{
			InFlight: c.InFlight.Load(), Waiting: c.Waiting.Load(), Resumed: c.Resumed.Load(),
			Handshakes: make(map[string]uint64),
			Versions:   map[string]uint64{"1.2": c.TLS12.Load(), "1.3": c.TLS13.Load()},
		}
		for o := range secure.Outcomes {
			r.Handshakes[o.String()] = c.Done[o].Load()
		}
		for _, info := range port.Certificates() {
			info.Names = append([]string{}, info.Names...) // [] in JSON, not null
			r.Certificates = append(r.Certificates, certificateReport(info))
		}
		if out == nil {
			out = make(map[string]tlsReport)
		}
		out[role] = r
	}
	return out
}

// tlsMetrics are those of /metrics, from the report of /stats.
func tlsMetrics(r *Report, send func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string)) {
	for role, t := range r.TLS {
		send(descInFlight, gauge, float64(t.InFlight), role)
		send(descWaiting, gauge, float64(t.Waiting), role)
		send(descResumed, counter, float64(t.Resumed), role)
		for result, n := range t.Handshakes {
			send(descHandshakes, counter, float64(n), role, result)
		}
		for version, n := range t.Versions {
			send(descVersions, counter, float64(n), role, version)
		}
		for _, c := range t.Certificates {
			send(descExpiry, gauge, float64(c.NotAfter.Unix()), role, c.File)
		}
	}
}

// expiryWatch remembers what an operator has been warned of. It is the ticking goroutine's.
type expiryWatch struct {
	next   time.Time            // of the next look
	warned map[string]time.Time // when, by file and end
}

// watchExpiry warns of certificates that end soon, once a day each.
func (m *Monitor) watchExpiry(now time.Time) {
	w := &m.expiry
	if len(m.tls) == 0 || now.Before(w.next) {
		return
	}
	w.next = now.Add(expiryEvery)
	warned := make(map[string]time.Time)
	for role, port := range m.tls {
		for _, info := range port.Certificates() {
			left := info.NotAfter.Sub(now)
			if left > expirySoon {
				continue
			}
			key := role + " " + info.File + " " + info.NotAfter.String()
			if warned[key] = w.warned[key]; now.Sub(warned[key]) < expiryAgain {
				continue
			}
			warned[key] = now
			text := "a certificate ends soon"
			if left <= 0 {
				text = "a certificate has ended: clients refuse it"
			}
			m.log.Warn(text, "role", role, "file", info.File, "not_after", info.NotAfter, "days", int(left.Hours()/24))
		}
	}
	w.warned = warned
}
