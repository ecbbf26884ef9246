package server

import (
	"net/http"
	"net/http/pprof"
	rpprof "runtime/pprof"
)

// profilePath is where pprof's pages link to each other.
const profilePath = "/debug/pprof/"

// withProfiles adds pprof's paths.
func withProfiles(endpoints map[string]*endpoint) map[string]*endpoint {
	add := func(name string, post bool, h http.HandlerFunc) {
		endpoints[profilePath+name] = bridgeEndpoint(post, func(*Server) http.Handler { return h })
	}
	add("", false, pprof.Index)
	add("cmdline", false, pprof.Cmdline)
	add("profile", false, pprof.Profile)
	add("symbol", true, pprof.Symbol) // POST is how go tool pprof asks for many
	add("trace", false, pprof.Trace)
	for _, p := range rpprof.Profiles() {
		add(p.Name(), false, pprof.Handler(p.Name()).ServeHTTP)
	}
	return endpoints
}
