package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"

	"github.com/redis/rueidis"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

// script is one Lua script. Redis forgets the scripts when it restarts or a replica takes
// over; see runScripts.
type script struct {
	text string
	sha  string
}

var (
	publishScript   = newScript(strings.Replace(mustRead("publish"), "-- SHED", mustRead("shed"), 1))
	joinScript      = readScript("join")
	syncScript      = readScript("sync")
	signScript      = readScript("sign")
	clearScript     = readScript("clear")
	closeScript     = readScript("close")
	broadcastScript = readScript("broadcast")
	infoScript      = readScript("info")
	sweepScript     = readScript("sweep")
	forgetScript    = readScript("forget")
	heartbeatScript = newScript(mustRead("heartbeat"))
	versionScript   = newScript(mustRead("version"))
	countedScript   = readScript("counted")

	allScripts = []*script{
		publishScript, joinScript, syncScript, signScript, clearScript, closeScript,
		broadcastScript, infoScript, sweepScript, forgetScript, heartbeatScript, countedScript,
		versionScript,
	}
)

// readScript reads a script that uses lib.lua.
func readScript(name string) *script {
	return newScript(mustRead("shed") + mustRead("lib") + mustRead(name))
}

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text))
	return &script{text: text, sha: hex.EncodeToString(sum[:])}
}

// mustRead reads an embedded file.
func mustRead(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return string(b)
}

// scriptCall is one call of a script.
type scriptCall struct {
	*script
	keys, args []string
}

func (c *scriptCall) bySHA(b rueidis.Builder) rueidis.Completed {
	return b.Evalsha().Sha1(c.sha).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
}

func (c *scriptCall) byText(b rueidis.Builder) rueidis.Completed {
	return b.Eval().Script(c.text).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
}

// doer is a client, or one connection of it.
type doer interface {
	B() rueidis.Builder
	DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult
}

// send makes one round trip. The commands are pinned: when a connection breaks, the
// client library's writer may still read a command whose call has got its error, so its
// memory must not be used again.
func send(ctx context.Context, d doer, commands ...rueidis.Completed) []rueidis.RedisResult {
	for i := range commands {
		commands[i] = commands[i].Pin()
	}
	return d.DoMulti(ctx, commands...)
}

// Arguments of publish.lua.
const (
	publishName  = 0
	publishAfter = 8
)

// runScripts carries out calls in one round trip, in their order. Those that Redis has
// not carried out, because it has forgotten their script, are sent again with the
// script's text, which cannot be forgotten, and with them the publishes that had to wait
// for one of them. Nothing else is sent twice.
func runScripts(ctx context.Context, d doer, calls []scriptCall) []rueidis.RedisResult {
	commands := make([]rueidis.Completed, len(calls))
	for i := range calls {
		commands[i] = calls[i].bySHA(d.B())
	}
	results := send(ctx, d, commands...)
	repeatForgotten(ctx, d, calls, results)
	return results
}

// repeatForgotten puts the answers of the repeated calls in the place of NOSCRIPT.
func repeatForgotten(ctx context.Context, d doer, calls []scriptCall, results []rueidis.RedisResult) {
	var again []rueidis.Completed
	var places []int
	for i := range calls {
		if noScript(results[i].Error()) || outOfOrder(&calls[i], results[i]) {
			if calls[i].script == publishScript {
				calls[i].args[publishAfter] = "" // the repeats keep their order by themselves
			}
			again, places = append(again, calls[i].byText(d.B())), append(places, i)
		}
	}
	if len(again) == 0 {
		return
	}
	for i, r := range send(ctx, d, again...) {
		results[places[i]] = r
	}
}

// outOfOrder reports that a publish was not carried out, because the one before it was not.
func outOfOrder(c *scriptCall, r rueidis.RedisResult) bool {
	if c.script != publishScript {
		return false
	}
	values, err := r.ToArray()
	if err != nil || len(values) != 1 {
		return false
	}
	n, err := values[0].AsInt64()
	return err == nil && n == publishEarly
}

func loadCommands(b rueidis.Builder) []rueidis.Completed {
	out := make([]rueidis.Completed, len(allScripts))
	for i, s := range allScripts {
		out[i] = b.ScriptLoad().Script(s.text).Build()
	}
	return out
}

// noScript reports that Redis has forgotten the scripts.
func noScript(err error) bool {
	re, ok := rueidis.IsRedisErr(err)
	return ok && re.IsNoScript()
}
