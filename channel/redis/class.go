package redis

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/redis/rueidis"
)

// class says what an error means for the calls that follow.
type class int

const (
	classNone    class = iota
	classBroken        // no answer: the connection has failed, or it took too long
	classLater         // Redis does nothing at present; it has not carried the call out
	classRole          // it is no master: perhaps another server has its name by now
	classRefuses       // it refuses writes: replicas are missing, or it cannot save
	classMemory        // it is at its maxmemory: some calls are refused
	classCall          // this call is refused
)

// codes are the errors of Redis by their first word.
var codes = map[string]class{
	"LOADING": classLater, "BUSY": classLater, "CLUSTERDOWN": classLater, "MASTERDOWN": classLater, "TRYAGAIN": classLater,
	"READONLY": classRole, "UNBLOCKED": classRole,
	"NOREPLICAS": classRefuses, "MISCONF": classRefuses,
	"NOAUTH": classRefuses, "WRONGPASS": classRefuses, "NOPERM": classRefuses,
	"OOM": classMemory,
}

// noAnswer is the word for classBroken.
const noAnswer = "no_answer"

// classOf classes an error, and names it in a word for log and metrics.
func classOf(err error) (class, string) {
	if err == nil || rueidis.IsRedisNil(err) {
		return classNone, ""
	}
	var re *rueidis.RedisError
	if !errors.As(err, &re) {
		return classBroken, noAnswer
	}
	text := re.Error()
	if code, _, _ := strings.Cut(text, " "); codes[code] != classNone {
		return codes[code], code
	}
	// Before version 7, an error in a script is wrapped: "ERR Error running script …: -READONLY …".
	for _, word := range strings.Fields(text) {
		if code, wrapped := strings.CutPrefix(word, "-"); wrapped && codes[code] != classNone {
			return codes[code], code
		}
	}
	if strings.Contains(text, "OOM command not allowed") {
		return classMemory, "OOM"
	}
	return classCall, "other"
}

// refusalWords are all words of classOf.
var refusalWords = append(slices.Sorted(maps.Keys(codes)), noAnswer, "other")

// stops reports that calls are refused at once until Redis has been seen to serve again.
func (c class) stops() bool {
	return c == classBroken || c == classLater || c == classRole || c == classRefuses
}
