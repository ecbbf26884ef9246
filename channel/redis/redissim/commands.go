package redissim

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// command carries out one command that scripts may call, too.
type command func(s *Server, a []string) any

// commands by name, in upper case. a are the arguments behind the name.
var commands = map[string]command{
	"EXISTS": func(s *Server, a []string) any { return flag(s.get(a[0]) != nil) },
	"DEL":    del,
	"GET": func(s *Server, a []string) any {
		if v := s.get(a[0]); v != nil {
			return v.str
		}
		return nil
	},
	"SET":              set,
	"HGET":             func(s *Server, a []string) any { return field(s.get(a[0]), a[1]) },
	"HMGET":            hmget,
	"HSET":             hset,
	"HDEL":             hdel,
	"HLEN":             func(s *Server, a []string) any { return size(s.get(a[0])) },
	"HKEYS":            func(s *Server, a []string) any { return names(s.get(a[0])) },
	"HGETALL":          hgetall,
	"HINCRBY":          hincrby,
	"HRANDFIELD":       func(s *Server, a []string) any { return firstOf(names(s.get(a[0])), atoi(a[1])) },
	"RPUSH":            rpush,
	"LPUSHX":           func(*Server, []string) any { return int64(0) }, // only of a list that is not there
	"LLEN":             func(s *Server, a []string) any { return size(s.get(a[0])) },
	"LRANGE":           lrange,
	"LTRIM":            ltrim,
	"LINDEX":           lindex,
	"LPOP":             lpop,
	"ZADD":             zadd,
	"ZREM":             zrem,
	"ZSCORE":           zscore,
	"ZREMRANGEBYSCORE": zremrangeByScore,
	"ZCARD":            func(s *Server, a []string) any { return size(s.get(a[0])) },
	"ZRANGE":           zrange,
	"ZRANGEBYSCORE":    zrangeByScore,
	"PTTL":             pttl,
	"PEXPIRE":          func(s *Server, a []string) any { return s.expire(a[0], s.now().Add(ms(a[1]))) },
	"PEXPIREAT":        func(s *Server, a []string) any { return s.expire(a[0], time.UnixMilli(atoi(a[1]))) },
	"TIME":             clock,
	"TYPE":             kindOf,
	"PUBLISH":          func(s *Server, a []string) any { return s.publish(a[0], a[1]) },
	"SPUBLISH":         func(s *Server, a []string) any { return s.publish(a[0], a[1]) },
}

// writes are the commands that a server refuses while it may not write.
var writes = []string{
	"DEL", "SET", "HSET", "HDEL", "HINCRBY", "RPUSH", "LPUSHX", "LTRIM", "LPOP", "ZADD", "ZREM", "ZREMRANGEBYSCORE",
	"PEXPIRE", "PEXPIREAT",
}

func atoi(s string) int64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) {
		panic(failure("ERR value is not an integer or out of range"))
	}
	return int64(f)
}

func ms(s string) time.Duration { return time.Duration(atoi(s)) * time.Millisecond }

func flag(on bool) any {
	if on {
		return int64(1)
	}
	return int64(0)
}

func size(v *value) any {
	if v == nil {
		return int64(0)
	}
	return int64(len(v.hash) + len(v.list) + len(v.zset))
}

func field(v *value, name string) any {
	if v != nil {
		if text, ok := v.hash[name]; ok {
			return text
		}
	}
	return nil
}

func names(v *value) any {
	out := []any{}
	if v != nil {
		for _, name := range sortedKeys(v.hash) {
			out = append(out, name)
		}
	}
	return out
}

func firstOf(list any, n int64) any {
	all := list.([]any)
	return all[:min(int(n), len(all))]
}

func del(s *Server, a []string) any {
	n := int64(0)
	for _, key := range a {
		if s.get(key) != nil {
			delete(s.keys, key)
			n++
		}
	}
	return n
}

func set(s *Server, a []string) any {
	v := &value{str: a[1]}
	if len(a) == 4 && strings.EqualFold(a[2], "PX") {
		v.expires = s.now().Add(ms(a[3]))
	}
	s.keys[a[0]] = v
	return status("OK")
}

func hmget(s *Server, a []string) any {
	v, out := s.get(a[0]), make([]any, 0, len(a))
	for _, name := range a[1:] {
		out = append(out, field(v, name))
	}
	return out
}

func hset(s *Server, a []string) any {
	h, n := s.hash(a[0]), int64(0)
	for i := 1; i+1 < len(a); i += 2 {
		if _, had := h[a[i]]; !had {
			n++
		}
		h[a[i]] = a[i+1]
	}
	return n
}

func hdel(s *Server, a []string) any {
	if v := s.get(a[0]); v != nil {
		return remove(s, a[0], v.hash, a[1:])
	}
	return int64(0)
}

// remove takes members out of the collection of a key, and returns how many it had.
func remove[V any](s *Server, key string, of map[string]V, names []string) any {
	before := len(of)
	for _, name := range names {
		delete(of, name)
	}
	s.tidy(key)
	return int64(before - len(of))
}

func hgetall(s *Server, a []string) any {
	out := pairs{}
	if v := s.get(a[0]); v != nil {
		for _, name := range sortedKeys(v.hash) {
			out = append(out, name, v.hash[name])
		}
	}
	return out
}

func hincrby(s *Server, a []string) any {
	h := s.hash(a[0])
	n := atoi(a[2])
	if old := h[a[1]]; old != "" {
		n += atoi(old)
	}
	h[a[1]] = strconv.FormatInt(n, 10)
	return n
}

func rpush(s *Server, a []string) any {
	v := s.make(a[0], func(v *value) { v.list = []string{} })
	v.list = append(v.list, a[1:]...)
	return int64(len(v.list))
}

// span turns the two ends of a range, which may count from the back, into slice bounds.
func span(from, to string, n int) (int, int) {
	i, j := int(atoi(from)), int(atoi(to))
	if i < 0 {
		i = max(0, n+i)
	}
	if j < 0 {
		j = n + j
	}
	i, j = min(i, n), min(j+1, n)
	return i, max(i, j)
}

func lrange(s *Server, a []string) any {
	out := []any{}
	if v := s.get(a[0]); v != nil {
		i, j := span(a[1], a[2], len(v.list))
		for _, text := range v.list[i:j] {
			out = append(out, text)
		}
	}
	return out
}

func ltrim(s *Server, a []string) any {
	if v := s.get(a[0]); v != nil {
		i, j := span(a[1], a[2], len(v.list))
		v.list = slices.Clone(v.list[i:j])
		s.tidy(a[0])
	}
	return status("OK")
}

func lindex(s *Server, a []string) any {
	v, i := s.get(a[0]), int(atoi(a[1]))
	if v == nil {
		return nil
	}
	if i < 0 {
		i += len(v.list)
	}
	if i < 0 || i >= len(v.list) {
		return nil
	}
	return v.list[i]
}

func lpop(s *Server, a []string) any {
	v := s.get(a[0])
	if v == nil {
		return nil
	}
	first := v.list[0]
	v.list = slices.Clone(v.list[1:])
	s.tidy(a[0])
	return first
}

func score(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(failure("ERR value is not a valid float"))
	}
	return f
}

func zadd(s *Server, a []string) any {
	f := score(a[1])
	z := s.zset(a[0])
	_, had := z[a[2]]
	z[a[2]] = f
	return flag(!had)
}

func zrem(s *Server, a []string) any {
	if v := s.get(a[0]); v != nil {
		return remove(s, a[0], v.zset, a[1:])
	}
	return int64(0)
}

// zscore answers with a text: scripts get it as one, a client that speaks RESP 3 does not,
// but none asks.
func zscore(s *Server, a []string) any {
	if v := s.get(a[0]); v != nil {
		if f, ok := v.zset[a[1]]; ok {
			return strconv.FormatFloat(f, 'g', 17, 64)
		}
	}
	return nil
}

func zremrangeByScore(s *Server, a []string) any {
	v := s.get(a[0])
	if v == nil {
		return int64(0)
	}
	var names []string
	for _, name := range zrangeByScore(s, a).([]any) {
		names = append(names, name.(string))
	}
	return remove(s, a[0], v.zset, names)
}

func zrange(s *Server, a []string) any {
	out := []any{}
	if v := s.get(a[0]); v != nil {
		i, j := span(a[1], a[2], len(v.zset))
		for _, m := range members(v.zset)[i:j] {
			out = append(out, m.name)
		}
	}
	return out
}

// zrangeByScore knows "(" before the upper end, and LIMIT 0 n.
func zrangeByScore(s *Server, a []string) any {
	out := []any{}
	v := s.get(a[0])
	if v == nil {
		return out
	}
	upper, open := strings.CutPrefix(a[2], "(")
	from, to := score(a[1]), score(upper)
	most := len(v.zset)
	if len(a) == 6 {
		most = int(atoi(a[5]))
	}
	for _, m := range members(v.zset) {
		if m.score >= from && (m.score < to || !open && m.score == to) && len(out) < most {
			out = append(out, m.name)
		}
	}
	return out
}

func kindOf(s *Server, a []string) any {
	switch v := s.get(a[0]); {
	case v == nil:
		return status("none")
	case v.hash != nil:
		return status("hash")
	case v.list != nil:
		return status("list")
	case v.zset != nil:
		return status("zset")
	}
	return status("string")
}

func pttl(s *Server, a []string) any {
	switch v := s.get(a[0]); {
	case v == nil:
		return int64(-2)
	case v.expires.IsZero():
		return int64(-1)
	default:
		return v.expires.Sub(s.now()).Milliseconds()
	}
}

func (s *Server) expire(key string, at time.Time) any {
	v := s.get(key)
	if v == nil {
		return int64(0)
	}
	if v.expires = at; !s.now().Before(at) {
		delete(s.keys, key)
	}
	return int64(1)
}

func clock(s *Server, _ []string) any {
	t := s.now()
	return []any{strconv.FormatInt(t.Unix(), 10), strconv.Itoa(t.Nanosecond() / 1000)}
}

// call carries out a command of a script or a client.
func (s *Server) call(name string, a []string) (answer any) {
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(failure)
			if !ok {
				panic(p)
			}
			answer = f
		}
	}()
	do := commands[name]
	if do == nil {
		panic(fmt.Sprintf("redissim: %s is not known here", name))
	}
	return do(s, a)
}
