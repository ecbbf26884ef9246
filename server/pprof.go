package server

import (
	"net/http"
	"net/http/pprof"
	rpprof "runtime/pprof"
)

// profilePath is where pprof's pages link to each other.
const profilePath = "/debug/pprof/"

// withProfiles adds pprof's paths. They take no HEAD, whose cost would be the profile's.
func withProfiles(endpoints map[string]*endpoint) map[string]*endpoint {
	add := func(name string, allow string, h http.HandlerFunc) {
		endpoints[profilePath+name] = bridgeEndpoint(allow, func(*Server) http.Handler { return h })
	}
	add("", "GET", pprof.Index)
	add("cmdline", "GET", pprof.Cmdline)
	add("profile", "GET", pprof.Profile)
	add("symbol", "GET, POST", pprof.Symbol) // POST is how go tool pprof asks for many
	add("trace", "GET", pprof.Trace)
	for _, p := range rpprof.Profiles() {
		add(p.Name(), "GET", pprof.Handler(p.Name()).ServeHTTP)
	}
	return endpoints
}
