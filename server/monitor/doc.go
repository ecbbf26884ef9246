// Package monitor shows an operator how the server does: the report of /stats, Prometheus
// metrics, health and readiness, the dashboard with its feed and channel list, and the
// guard that refuses newcomers when memory is short.
//
// It reads counters and never takes a lock of the reactor or of a channel for long. The
// reactor's ticking goroutine calls Tick, event loops call the Handle methods, and
// handlers of net/http run on goroutines of their own.
package monitor
