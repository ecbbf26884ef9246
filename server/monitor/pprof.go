package monitor

import (
	"net/http"
	"net/http/pprof"
	rpprof "runtime/pprof"
)

// profilePath is where pprof's pages link to each other.
const profilePath = "/debug/pprof/"

// profile is one of pprof's pages. It takes no HEAD, whose cost would be the profile's.
type profile struct {
	Allow   string // methods
	Handler http.Handler
}

// Profiles are pprof's pages, by path.
func Profiles() map[string]profile {
	all := map[string]profile{
		profilePath:             {"GET", http.HandlerFunc(pprof.Index)},
		profilePath + "cmdline": {"GET", http.HandlerFunc(pprof.Cmdline)},
		profilePath + "profile": {"GET", http.HandlerFunc(pprof.Profile)},
		profilePath + "symbol":  {"GET, POST", http.HandlerFunc(pprof.Symbol)}, // POST is how go tool pprof asks for many
		profilePath + "trace":   {"GET", http.HandlerFunc(pprof.Trace)},
	}
	for _, p := range rpprof.Profiles() {
		all[profilePath+p.Name()] = profile{"GET", pprof.Handler(p.Name())}
	}
	return all
}
