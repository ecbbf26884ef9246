package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"icomet/client"
)

// teller tells on standard error where the channels are, and what they miss.
type teller struct {
	w                 io.Writer
	many, json, quiet bool
	resumes           map[string]bool // by channel: it has been somewhere before
}

// notice is what --json tells. That nothing can be written any more does not matter.
type notice struct {
	Type     string          `json:"type"`
	Channel  string          `json:"cname"`
	Position client.Position `json:"position"` // "": the server does not know positions
	*recovery
	Error string `json:"error,omitempty"`
}

type recovery struct {
	Recovered bool          `json:"recovered"`
	Lost      int64         `json:"lost"`
	Reason    client.Reason `json:"reason,omitempty"`
}

// say tells a sentence about a channel.
func (t *teller) say(channel, sentence string) {
	if t.many {
		sentence = "channel " + printable(channel) + ": " + sentence
	}
	fmt.Fprintln(t.w, "icomet: "+sentence)
}

// position tells what the server says.
func (t *teller) position(channel string, r client.Recovery) {
	resumes := t.resumes[channel]
	t.resumes[channel] = true
	switch {
	case r.Recovered && t.quiet:
	case t.json:
		_ = writeJSON(t.w, notice{Type: "position", Channel: channel, Position: r.Position, recovery: &recovery{r.Recovered, r.Lost, r.Reason}})
	case r.Recovered && resumes:
		t.say(channel, "nothing is missing after "+r.Position.String())
	case r.Recovered:
		t.say(channel, "begins after "+r.Position.String())
	default:
		t.say(channel, missing(r, resumes)+goesOn(r.Position))
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

// ended tells why a channel is not followed any more. It is false if there was more to
// follow.
func (t *teller) ended(last client.Start, why error) bool {
	kind := ""
	switch {
	case errors.Is(why, client.ErrEnded):
		kind = "end"
	case errors.Is(why, client.ErrClosed):
		kind = "closed"
	case !t.many: // the exit tells it
		return false
	}
	text := why.Error()
	switch {
	case t.json && kind == "":
		_ = writeJSON(t.w, notice{Type: "refused", Channel: last.Channel, Position: last.From, Error: text})
	case t.json:
		_ = writeJSON(t.w, notice{Type: kind, Channel: last.Channel, Position: last.From})
	case kind == "":
		t.say(last.Channel, "refused: "+text)
	default:
		t.say(last.Channel, text)
	}
	return kind != ""
}

// stopped tells where the channels that have not ended go on.
func (t *teller) stopped(list []client.Start) {
	flags := ""
	for _, at := range list {
		switch {
		case t.quiet:
		case t.json:
			_ = writeJSON(t.w, notice{Type: "stopped", Channel: at.Channel, Position: at.From})
		case at.From != client.Position{} && t.many:
			flags += " --from " + shellWord(at.Channel+"="+at.From.String())
		case at.From != client.Position{}:
			flags += " --from " + at.From.String()
		case at.Seq > 0 && !t.many: // the server does not know positions
			flags += fmt.Sprint(" --seq ", at.Seq)
		}
	}
	if flags != "" {
		fmt.Fprintln(t.w, "icomet: to go on after this:"+flags)
	}
}

var plainWord = regexp.MustCompile(`^[\w.:/@%+,=-]+$`)

// shellWord quotes text for a shell, if it needs that.
func shellWord(text string) string {
	if text = printable(text); plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
