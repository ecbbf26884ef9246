package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"

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
	publishScript   = readScript("publish", false)
	joinScript      = readScript("join", true)
	syncScript      = readScript("sync", true)
	signScript      = readScript("sign", true)
	clearScript     = readScript("clear", true)
	closeScript     = readScript("close", true)
	broadcastScript = readScript("broadcast", true)
	infoScript      = readScript("info", true)
	sweepScript     = readScript("sweep", true)
	forgetScript    = readScript("forget", true)
	heartbeatScript = readScript("heartbeat", false)
	countedScript   = readScript("counted", true)

	allScripts = []*script{
		publishScript, joinScript, syncScript, signScript, clearScript, closeScript,
		broadcastScript, infoScript, sweepScript, forgetScript, heartbeatScript, countedScript,
	}
)

func readScript(name string, lib bool) *script {
	text := mustRead(name)
	if lib {
		text = mustRead("lib") + text
	}
	return newScript(text)
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

// runScripts carries out calls in one round trip, in their order. Those that Redis has
// not carried out, because it has forgotten their script, are sent again with the
// script's text, which cannot be forgotten. Nothing else is sent twice.
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
		if noScript(results[i].Error()) {
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
