package main

import (
	"fmt"
	"io"

	"icomet/client"
)

// teller tells on standard error where a subscription is, and what it misses.
type teller struct {
	w           io.Writer
	channel     string
	json, quiet bool
	resumes     bool // it has been somewhere before
}

// notice is what --json tells. That nothing can be written any more does not matter.
type notice struct {
	Type     string          `json:"type"`
	Channel  string          `json:"cname"`
	Position client.Position `json:"position"` // "": the server does not know positions
	*recovery
}

type recovery struct {
	Recovered bool          `json:"recovered"`
	Lost      int64         `json:"lost"`
	Reason    client.Reason `json:"reason,omitempty"`
}

// position tells what the server says.
func (t *teller) position(r client.Recovery) {
	resumes := t.resumes
	t.resumes = true
	switch {
	case r.Recovered && t.quiet:
	case t.json:
		_ = writeJSON(t.w, notice{"position", t.channel, r.Position, &recovery{r.Recovered, r.Lost, r.Reason}})
	case r.Recovered && resumes:
		fmt.Fprintf(t.w, "icomet: nothing is missing after %s\n", r.Position)
	case r.Recovered:
		fmt.Fprintf(t.w, "icomet: begins after %s\n", r.Position)
	default:
		fmt.Fprintf(t.w, "icomet: %s%s\n", missing(r, resumes), goesOn(r.Position))
	}
}

// missing says in words what is not recovered.
func missing(r client.Recovery, resumes bool) string {
	lost := "messages may be missing, and nobody can know how many"
	if r.Lost >= 0 {
		lost = fmt.Sprintf("%d messages could not be had any more", r.Lost)
	}
	switch {
	case r.Reason == client.ReasonTrimmed:
		return lost + ": the server does not store them now"
	case r.Reason == client.ReasonAhead:
		return lost + ": the channel has not come that far, so it has lost something itself"
	case r.Reason == client.ReasonEpoch && resumes, r.Reason == "" && r.Lost < 0:
		return lost + ": the channel began anew"
	case r.Reason == client.ReasonEpoch:
		return lost + ": a number alone does not say in which life of the channel; --from does"
	case r.Reason == "":
		return lost + " (as the numbers say; the server is older than 0.2)"
	}
	return lost + ": " + string(r.Reason)
}

func goesOn(p client.Position) string {
	if p == (client.Position{}) {
		return ""
	}
	return "; goes on after " + p.String()
}

// ending tells why a subscription ends, if there is a reason to tell, and where another
// can go on.
func (t *teller) ending(kind, why string, s *client.Subscriber) {
	switch {
	case t.json && (!t.quiet || why != ""):
		_ = writeJSON(t.w, notice{Type: kind, Channel: t.channel, Position: s.From})
	case why != "":
		fmt.Fprintln(t.w, "icomet: "+why)
	case t.quiet:
	case s.From != (client.Position{}):
		fmt.Fprintf(t.w, "icomet: to go on after this: --from %s\n", s.From)
	case s.Seq > 0:
		fmt.Fprintf(t.w, "icomet: to go on after this: --seq %d\n", s.Seq)
	}
}
