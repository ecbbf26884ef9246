package redissim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	glua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// Script is one Lua script, ready to run. Servers may share it.
type Script struct {
	Name  string
	SHA   string
	proto *glua.FunctionProto
}

// Compile prepares a script.
func Compile(name, text string) (*Script, error) {
	chunk, err := parse.Parse(strings.NewReader(text), name)
	if err != nil {
		return nil, err
	}
	sc := newScript(name, text)
	sc.proto, err = glua.Compile(chunk, name)
	return sc, err
}

func newScript(name, text string) *Script {
	sum := sha1.Sum([]byte(text))
	return &Script{Name: name, SHA: hex.EncodeToString(sum[:])}
}

// lua runs scripts for one server.
type lua struct {
	server *Server
	state  *glua.LState
}

// idle are interpreters that no server uses at present: one takes long to make.
var idle struct {
	mu   sync.Mutex
	list []*lua
}

func newLua(s *Server) *lua {
	idle.mu.Lock()
	defer idle.mu.Unlock()
	if n := len(idle.list); n > 0 {
		l := idle.list[n-1]
		idle.list = idle.list[:n-1]
		l.server = s
		return l
	}
	return makeLua(s)
}

func makeLua(s *Server) *lua {
	l := &lua{server: s, state: glua.NewState(glua.Options{SkipOpenLibs: true})}
	for _, open := range []glua.LGFunction{glua.OpenBase, glua.OpenTable, glua.OpenString, glua.OpenMath} {
		l.state.Push(l.state.NewFunction(open))
		l.state.Call(0, 0)
	}
	redis := l.state.NewTable()
	redis.RawSetString("call", l.state.NewFunction(l.call))
	l.state.SetGlobal("redis", redis)
	// string.format of this library does not turn a text into a number for %d.
	str := l.state.GetGlobal("string").(*glua.LTable)
	format := str.RawGetString("format")
	str.RawSetString("format", l.state.NewFunction(func(st *glua.LState) int {
		n := st.GetTop()
		verbs := strings.Split(st.CheckString(1), "%")[1:]
		for i := 2; i <= n; i++ {
			if text, ok := st.Get(i).(glua.LString); ok && strings.HasPrefix(verbs[i-2], "d") {
				st.Replace(i, glua.LNumber(score(string(text))))
			}
		}
		st.Insert(format, 1)
		st.Call(n, 1)
		return 1
	}))
	return l
}

func (l *lua) close() {
	l.server = nil
	idle.mu.Lock()
	idle.list = append(idle.list, l)
	idle.mu.Unlock()
}

func (l *lua) run(sc *Script, keys, argv []string) any {
	st := l.state
	st.SetGlobal("KEYS", l.table(keys))
	st.SetGlobal("ARGV", l.table(argv))
	if err := st.CallByParam(glua.P{Fn: st.NewFunctionFromProto(sc.proto), NRet: 1, Protect: true}); err != nil {
		return failure(fmt.Sprintf("ERR %s: %v", sc.Name, err))
	}
	out := st.Get(-1)
	st.Pop(1)
	return toAnswer(out)
}

func (l *lua) table(list []string) *glua.LTable {
	t := l.state.CreateTable(len(list), 0)
	for _, text := range list {
		t.Append(glua.LString(text))
	}
	return t
}

// call is redis.call.
func (l *lua) call(st *glua.LState) int {
	var args []string
	for i := 1; i <= st.GetTop(); i++ {
		switch v := st.Get(i).(type) {
		case glua.LString:
			args = append(args, string(v))
		case glua.LNumber:
			args = append(args, formatNumber(float64(v)))
		default:
			st.RaiseError("Lua redis lib command arguments must be strings or integers")
		}
	}
	answer := l.server.call(strings.ToUpper(args[0]), args[1:])
	if f, ok := answer.(failure); ok {
		st.RaiseError("%s", string(f))
	}
	st.Push(l.fromAnswer(answer))
	return 1
}

func formatNumber(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', 17, 64)
}

func (l *lua) fromAnswer(v any) glua.LValue {
	switch v := v.(type) {
	case nil:
		return glua.LFalse
	case string:
		return glua.LString(v)
	case int64:
		return glua.LNumber(v)
	case status:
		t := l.state.NewTable()
		t.RawSetString("ok", glua.LString(v))
		return t
	case pairs:
		return l.fromAnswer([]any(v))
	case []any:
		t := l.state.CreateTable(len(v), 0)
		for _, e := range v {
			t.Append(l.fromAnswer(e))
		}
		return t
	}
	panic(fmt.Sprintf("redissim: %T cannot go to a script", v))
}

func toAnswer(v glua.LValue) any {
	switch v := v.(type) {
	case glua.LString:
		return string(v)
	case glua.LNumber:
		return int64(v)
	case glua.LBool:
		if v {
			return int64(1)
		}
		return nil
	case *glua.LTable:
		out := []any{}
		for i := 1; ; i++ {
			e := v.RawGetInt(i)
			if e == glua.LNil {
				return out
			}
			out = append(out, toAnswer(e))
		}
	}
	return nil
}
