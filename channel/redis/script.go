package redis

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"

	"github.com/redis/rueidis"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

// script is one Lua script. Redis forgets scripts when it restarts or another node
// takes over. After NOSCRIPT all of them are loaded, and the call is repeated.
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

	allScripts = []*script{
		publishScript, joinScript, syncScript, signScript, clearScript, closeScript,
		broadcastScript, infoScript, sweepScript, forgetScript, heartbeatScript,
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

// mustRead reads a file that is compiled in.
func mustRead(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (s *script) command(b rueidis.Builder, keys []string, args ...string) rueidis.Completed {
	return b.Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
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

// lost reports that the connection, not Redis's answer, is the trouble.
func lost(err error) bool {
	if err == nil || rueidis.IsRedisNil(err) {
		return false
	}
	re, ok := rueidis.IsRedisErr(err)
	// Redis answers, but not what was asked: it loads, or has no master.
	return !ok || strings.HasPrefix(re.Error(), "LOADING") || strings.HasPrefix(re.Error(), "CLUSTERDOWN")
}
