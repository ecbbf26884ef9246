package redissim

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"icomet/channel/redis/redistest"
)

// real is a connection to a real redis-server.
type real struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func startReal(t *testing.T) *real {
	t.Helper()
	s := redistest.Start(t)
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r := &real{t: t, conn: c, r: bufio.NewReader(c)}
	r.do("HELLO", "3")
	return r
}

// do returns the answer, byte by byte.
func (r *real) do(args ...string) string {
	var out []byte
	out = appendHead(out, '*', len(args))
	for _, a := range args {
		out = appendValue(out, a)
	}
	if _, err := r.conn.Write(out); err != nil {
		r.t.Fatal(err)
	}
	return r.value()
}

func (r *real) value() string {
	line, err := r.r.ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	n, _ := strconv.Atoi(line[1 : len(line)-2])
	switch line[0] {
	case '$':
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r.r, b); err != nil {
			r.t.Fatal(err)
		}
		return line + string(b)
	case '%':
		n *= 2
		fallthrough
	case '*':
		for range n {
			line += r.value()
		}
	}
	return line
}

// like reports whether two answers say the same. Hashes have no order, and of an error
// the first word counts.
func like(name, a, b string) bool {
	if strings.HasPrefix(a, "-") && strings.HasPrefix(b, "-") {
		return strings.Fields(a)[0] == strings.Fields(b)[0]
	}
	switch name {
	case "HKEYS", "HGETALL", "HRANDFIELD":
		x, y := strings.Split(a, "\r\n"), strings.Split(b, "\r\n")
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(x, y)
	}
	return a == b
}

func oneOf(t *rapid.T, list ...string) string { return rapid.SampledFrom(list).Draw(t, "arg") }

// aCommand draws a command with sensible arguments.
func aCommand(t *rapid.T) []string {
	key := func() string { return oneOf(t, "k1", "k2") }
	field := func() string { return oneOf(t, "f1", "f2", "f3") }
	number := func() string { return strconv.Itoa(rapid.IntRange(-3, 5).Draw(t, "number")) }
	span := func() string { return oneOf(t, "-5", "-2", "-1", "0", "1", "2", "7") }
	name := oneOf(t, "EXISTS", "DEL", "HGET", "HMGET", "HSET", "HDEL", "HLEN", "HKEYS", "HGETALL", "HINCRBY", "HRANDFIELD",
		"RPUSH", "LLEN", "LRANGE", "LTRIM", "ZADD", "ZREM", "ZCARD", "ZRANGE", "ZRANGEBYSCORE", "PTTL", "PEXPIRE", "GET", "SET",
		"LINDEX", "LPOP", "ZREMRANGEBYSCORE", "TYPE")
	kind := map[byte]string{'H': "h", 'L': "l", 'R': "l", 'Z': "z", 'G': "s", 'S': "s"}[name[0]]
	k := kind + key()
	if kind == "" {
		k = oneOf(t, "h", "l", "z", "s") + key()
	}
	switch name {
	case "HGET", "HDEL":
		return []string{name, k, field()}
	case "HMGET":
		return []string{name, k, field(), field()}
	case "HSET":
		return []string{name, k, field(), number(), field(), number()}
	case "HINCRBY":
		return []string{name, k, field(), number()}
	case "HRANDFIELD":
		return []string{name, k, "10"}
	case "RPUSH", "SET":
		return []string{name, k, oneOf(t, "", "x", "a\r\nb", "ü")}
	case "LRANGE", "LTRIM", "ZRANGE":
		return []string{name, k, span(), span()}
	case "ZADD":
		return []string{name, k, oneOf(t, "1", "2", "2.5", "+inf", "-1", "x"), field()}
	case "ZREM":
		return []string{name, k, field()}
	case "LINDEX":
		return []string{name, k, span()}
	case "ZREMRANGEBYSCORE":
		return []string{name, k, "-inf", oneOf(t, "2", "(2", "+inf")}
	case "ZRANGEBYSCORE":
		a := []string{name, k, "-inf", oneOf(t, "2", "(2", "+inf")}
		if rapid.Bool().Draw(t, "limited") {
			a = append(a, "LIMIT", "0", oneOf(t, "1", "2"))
		}
		return a
	case "PEXPIRE":
		return []string{name, k, oneOf(t, "0", "100000000")}
	case "PTTL":
		return []string{name, "never" + k}
	}
	return []string{name, k}
}

// TestCommandsAreLikeRedis: random commands have the same answers as from Redis.
func TestCommandsAreLikeRedis(t *testing.T) {
	r := startReal(t)
	rapid.Check(t, func(t *rapid.T) {
		s := New(nil)
		defer s.Close()
		r.do("FLUSHALL")
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			args := aCommand(t)
			got, want := string(s.Do(args...)), r.do(args...)
			if !like(args[0], got, want) {
				t.Fatalf("%q: %q, Redis says %q", args, got, want)
			}
		}
	})
}

// stamps are the times in an answer: in a stored message, and the present time of join.lua.
var stamps = regexp.MustCompile(`([db][0-9a-f]{8})[0-9]{11}|:1[0-9]{10}\r`)

// timeless leaves them out: the two servers are asked one after the other.
func timeless(answer string) string { return stamps.ReplaceAllString(answer, "$1") }

// engineScripts are the Redis engine's, as it sends them.
func engineScripts(t *testing.T) map[string]string {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile("../scripts/" + name + ".lua")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	out := map[string]string{"publish": strings.Replace(read("publish"), "-- SHED", read("shed"), 1)}
	for _, name := range []string{"join", "sync", "sign", "clear", "close", "broadcast", "info", "forget", "counted"} {
		out[name] = read("shed") + read("lib") + read(name)
	}
	return out
}

// aCall draws a call of a script: its name, keys and arguments.
func aCall(t *rapid.T) (name string, keys, argv []string) {
	cname, node := oneOf(t, "a", "b"), oneOf(t, "n1", "n2")
	epoch := fmt.Sprintf("%016x", rapid.IntRange(1, 1e6).Draw(t, "epoch"))
	count, due := oneOf(t, "0", "1", "3"), "p{0}due"
	// Less than nothing: whatever is stored is too old.
	ttl := func() string { return oneOf(t, "0", "0", "60000", "-200") }
	anID := func() string { return oneOf(t, "", "i", "j") }
	name = oneOf(t, "publish", "publish", "publish", "join", "join", "sync", "sign", "clear", "close", "broadcast", "info", "forget", "counted")
	switch name {
	case "publish":
		keys = []string{"p{0}c:" + cname, "p{0}h:" + cname, due, "p{0}p"}
		argv = []string{
			cname, oneOf(t, "content", "x", ""), oneOf(t, "1", "3", "0"), oneOf(t, "60000", "70000"), epoch,
			oneOf(t, "1", "1", "0"), "PUBLISH", "86400000", oneOf(t, "", "", "", epoch[:8]),
		}
		if oneOf(t, "plain", "more") == "more" {
			argv = append(argv, ttl(), oneOf(t, "0", "10"))
		}
		if len(argv) == 11 && oneOf(t, "plain", "more") == "more" {
			keys = append(keys, "p{0}i:"+cname)
			argv = append(argv, anID(), oneOf(t, "2", "64"), oneOf(t, "", "", "1", "2", "3"), oneOf(t, "", "", epoch[:8]), oneOf(t, "", "", "", "L", "E"))
		}
		return name, keys, argv
	case "join":
		argv = []string{cname, node, "PUBLISH", epoch, "60000", oneOf(t, "1", "0"), oneOf(t, "", epoch), oneOf(t, "1", "2", "9"),
			oneOf(t, "0", "1"), oneOf(t, "2", "100"), oneOf(t, "0", "0", "1"), oneOf(t, "secret", "other"), count, "86400000",
			ttl(), oneOf(t, "0", "0", "1")}
	case "sync":
		argv = []string{node, "a", count, oneOf(t, "0", "60000"), "b", oneOf(t, "0", "2"), "60000"}
	case "sign":
		argv = []string{cname, "60000", "secret", epoch, oneOf(t, "1", "0"), "PUBLISH", "86400000", ttl()}
	case "clear":
		argv = []string{cname, "PUBLISH"}
	case "close":
		argv = []string{cname, "PUBLISH", "600000"}
	case "broadcast":
		argv = []string{"to all", "PUBLISH", epoch[:8], oneOf(t, "3", "0"), ttl(), oneOf(t, "0", "10"), anID(), "2", "a", "b"}
	case "info":
		argv = []string{cname, node}
	case "forget":
		argv = []string{node, "60000", "100", "60000"}
	case "counted":
		argv = []string{node}
	}
	return name, []string{due}, argv
}

// TestScriptsAreLikeRedis: the engine's scripts have the same answers as from Redis, and
// leave the same behind.
func TestScriptsAreLikeRedis(t *testing.T) {
	r := startReal(t)
	known, shas := make(map[string]*Script), make(map[string]string)
	for name, text := range engineScripts(t) {
		sc, err := Compile(name, text)
		if err != nil {
			t.Fatal(err)
		}
		known[sc.SHA], shas[name] = sc, sc.SHA
		r.do("SCRIPT", "LOAD", text)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := New(known)
		defer s.Close()
		for sha, sc := range known {
			s.scripts[sha] = sc
		}
		r.do("FLUSHALL")
		for range rapid.IntRange(1, 25).Draw(t, "n") {
			name, keys, argv := aCall(t)
			args := append([]string{"EVALSHA", shas[name], strconv.Itoa(len(keys))}, append(keys, argv...)...)
			got, want := string(s.Do(args...)), r.do(args...)
			order := ""
			if name == "counted" {
				order = "HKEYS"
			}
			if got, want = timeless(got), timeless(want); !like(order, got, want) {
				t.Fatalf("%s %q: %q, Redis says %q", name, argv, got, want)
			}
		}
		for _, key := range []string{"p{0}n:n1", "p{0}n:n2", "p{0}ns"} {
			if got, want := string(s.Do("HGETALL", key)), r.do("HGETALL", key); !like("HGETALL", got, want) {
				t.Fatalf("%s: %q, in Redis %q", key, got, want)
			}
		}
		for _, cname := range []string{"a", "b"} {
			for _, args := range [][]string{
				{"HMGET", "p{0}c:" + cname, "e", "n", "s", "t", "f", "m", "z", "b", "w", "o"},
				{"LRANGE", "p{0}h:" + cname, "0", "-1"}, {"ZRANGE", "p{0}i:" + cname, "0", "-1"},
			} {
				if got, want := timeless(string(s.Do(args...))), timeless(r.do(args...)); got != want {
					t.Fatalf("%q: %q, in Redis %q", args, got, want)
				}
			}
		}
	})
}
