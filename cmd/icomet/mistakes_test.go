package main

import (
	"regexp"
	"strings"
	"testing"

	"icomet/server/servertest"
)

// mistake is a command line, and words of the sentence that answers it. FRONT, ADMIN and
// DEAD stand for URLs; nobody answers at the last one.
type mistake struct {
	args  string
	words []string
}

var mistakes = []mistake{
	{"sub", []string{"which channel", "--help"}},
	{"sub a b a", []string{`channel "a" is there twice`}},
	{"sub a b --from 9f86d081-57", []string{`--from "9f86d081-57": of which channel?`, "a=9f86d081-57"}},
	{"sub a b --from c=9f86d081-57", []string{`--from "c=9f86d081-57": of which channel?`}},
	{"sub a b --from b=57", []string{`--from "57": want a position`}},
	{"sub a b --from a=9f86d081-57 --from a=9f86d081-58", []string{"--from is there twice for one channel"}},
	{"sub a --from 9f86d081-57 --from 9f86d081-58", []string{"--from is there twice for one channel"}},
	{"sub a b --token a=x --token a=y", []string{"--token is there twice for one channel"}},
	{"sub a b --last 1 --seq 1", []string{"--last and --seq do not go together"}},
	{"sub a " + strings.Repeat("b", 256), []string{"want 1 to 255 bytes"}},
	{"sub a --transport pigeon", []string{"--transport pigeon", "stream, sse, iframe, poll"}},
	{"sub a --seq -1", []string{"--seq"}},
	{"sub a --token x --sign", []string{"token", "sign"}},
	{"sub a --front ADMIN", []string{"404", "other port"}},
	{"sub a --from 57", []string{`--from "57": want a position: EPOCH-SEQ`, "9f86d081-57"}},
	{"sub a --from=", []string{`--from "": want a position`}},
	{"sub a --from 9F86D081-57", []string{"lower-case"}},
	{"sub a --from 9f86d081-57 --seq 1", []string{"--from and --seq do not go together"}},
	{"sub a --from 9f86d081-57 --last 1", []string{"--from and --last do not go together"}},
	{"sub a --last 1 --seq 1", []string{"--last and --seq do not go together"}},
	{"sub a --last -1", []string{"--last: want 0 or more"}},
	{"sub a --last many", []string{`--last "many": want a whole number`}},
	{"pub a", []string{"CHANNEL and TEXT", "quote"}},
	{"pub a x --id=", []string{`--id "": want 1 to 64`}},
	{"pub a x --id " + strings.Repeat("x", 65), []string{"want 1 to 64"}},
	{"pub a x --id \u00fc", []string{`--id "ü": want 1 to 64`}},
	{"broadcast x --id \u00fc", []string{`--id "ü": want 1 to 64`}},
	{"pub a x --if-seq 0", []string{`--if-seq "0": want a number from 1`, "9f86d081-58"}},
	{"pub a x --if-seq x-1", []string{`--if-seq "x-1": want a number from 1`}},
	{"pub a x --if-seq 9f86d081-0", []string{`want a number from 1`}},
	{"pub a - --id x", []string{"--id is for one text"}},
	{"pub a - --if-seq 1", []string{"--if-seq is for one text"}},
	{"pub a - --position", []string{"--position is for one text"}},
	{"pub none x --if-seq 5", []string{"HTTP 409"}},
	{"pub a - --admin FRONT", []string{"older than 0.2, or the URL is not that of its admin port", "/batch"}},
	{"end", []string{"which channel", "--help"}},
	{"end nothing", []string{`there is no channel "nothing"`}},
	{"end a b c", []string{`"c" is too much`, "quote"}},
	{"end a --id x", []string{"which TEXT?"}},
	{"end a b --id \u00fc", []string{`--id "ü": want 1 to 64`}},
	{"pub a --encoded \"", []string{"HTTP 400", "content"}},
	{"sign a --expires 1ms", []string{"--expires", "1s"}},
	{"close nothing", []string{`there is no channel "nothing"`}},
	{"clear nothing", []string{`there is no channel "nothing"`}},
	{"info --admin nonsense", []string{`--admin "nonsense"`, "host:port"}},
	{"info --admin DEAD", nil},
	{"top --every 1ms", []string{"--every", "100ms"}},
	{"chanels", []string{`there is no command "chanels", did you mean channels? (icomet --help lists them)`}},
	{"nosuch", []string{`there is no command "nosuch" (icomet --help lists them)`}},
	{"help nosuch", []string{`there is no command "nosuch"`}},
	{"completion nosuch", []string{`there is no command "nosuch" (icomet completion --help lists them)`}},
	{"completion bash x", []string{`"x" is too much`}},
	{"sub a --seq x", []string{`--seq "x": want a whole number`}},
	{"sub a --seq 1.5", []string{`--seq "1.5": want a whole number`}},
	{"sub a --seq 99999999999999999999", []string{`--seq "99999999999999999999": want a whole number`}},
	{"sub a --seq", []string{"--seq: want a whole number"}},
	{"sub a -n many", []string{`--count "many": want a whole number`}},
	{"sub a -n -1", []string{"--count: want 0 or more"}},
	{"sub a -n", []string{"--count: want a whole number"}},
	{"sub a --json=maybe", []string{`--json "maybe": want true or false`}},
	{"sub a --nosuch", []string{"there is no flag --nosuch; see icomet sub --help"}},
	{"sub a -z", []string{"there is no flag -z; see icomet sub --help"}},
	{"sub --=x", []string{"is not how a flag is written"}},
	{"sub a --transport stream,sse", []string{"want stream, sse, iframe, poll"}},
	{"sign a --expires 5", []string{`--expires "5": want a time with its unit`}},
	{"top --rounds -1", []string{"--rounds: want 0 or more"}},
	{"top x", []string{`"x" is too much`}},
	{"channels x", []string{`"x" is too much`}},
	{"info a b", []string{`"b"`, "one channel only"}},
	{"channels --sort size", []string{"--sort size", "subscribers, rate, stored, name"}},
	{"channels --limit 0", []string{"--limit", "1 to 10000"}},
	{"channels --watch --search x", []string{"watch", "search"}},
	{"channels --admin FRONT", []string{"404", "other port"}},
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	dead := servertest.NewProxy(t, "http://127.0.0.1:1") // accepts and closes
	urls := strings.NewReplacer("FRONT", s.Front, "ADMIN", s.Admin, "DEAD", dead.URL)
	for _, c := range mistakes {
		args := strings.Fields(urls.Replace(c.args))
		failsReading(t, s, "line\n", args, c.words...)
		// No text of a library comes through.
		err := start(t, s, "line\n", args...).end()
		if err != nil && regexp.MustCompile(`strconv|invalid syntax|arg\(s\)|any flags in the group|flag needs|shorthand|unknown`).MatchString(err.Error()) {
			t.Errorf("icomet %s: %v", c.args, err)
		}
	}
	ended := servertest.Start(t, ownPorts(t)...)
	ended.Kill()
	fails(t, ended, []string{"info"}, "connection refused", "Is the server running there?")
}
