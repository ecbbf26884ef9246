package redissim

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Server is one Redis. Only the scheduler's goroutine calls it, except Dial.
type Server struct {
	// Runs tells one process from the next; clients see it as the run id.
	Runs int
	// Skew is added to the clock.
	Skew time.Duration
	// Refuse, if not "", is the error with which every script and every write is answered.
	Refuse string
	// Down makes Dial fail.
	Down func(client string) error
	// Active is called, on any goroutine, when a client has written or closed.
	Active func()
	// Carried, if not nil, is called for each script that has been carried out.
	Carried func(l *Link, name string, keys, args []string, answer any)

	// Shortcut, if not nil, may answer a script call that would change nothing.
	Shortcut func(name string, keys, args []string) (answer any, done bool)
	// Ended is called when a connection has ended, for whatever reason.
	Ended func(*Link)

	keys    map[string]*value
	scripts map[string]*Script // loaded, by SHA-1
	known   map[string]*Script // may be loaded
	lua     *lua
	dials   chan *Link
	links   []*Link
	nextID  int
}

// New makes a server. scripts are what clients may load, by SHA-1.
func New(scripts map[string]*Script) *Server {
	s := &Server{
		keys: make(map[string]*value), scripts: make(map[string]*Script), known: scripts,
		dials: make(chan *Link, 1024), Active: func() {},
		Down: func(string) error { return nil }, Ended: func(*Link) {},
	}
	s.lua = newLua(s)
	return s
}

// Close frees the memory of the scripts.
func (s *Server) Close() { s.lua.close() }

// Dial connects a client. Any goroutine may call it.
func (s *Server) Dial(_ context.Context, client string) (net.Conn, error) {
	if err := s.Down(client); err != nil {
		return nil, err
	}
	l := &Link{Client: client, server: s, subs: make(map[string]bool)}
	l.Conn = newConn(l)
	s.dials <- l
	s.active()
	return l.Conn, nil
}

func (s *Server) active() { s.Active() }

// Links are the connections that have not ended, in the order in which they were made.
func (s *Server) Links() []*Link {
	for {
		select {
		case l := <-s.dials:
			s.nextID++
			l.ID = s.nextID
			s.links = append(s.links, l)
			continue
		default:
		}
		break
	}
	s.links = slices.DeleteFunc(s.links, (*Link).Ended)
	return slices.Clone(s.links)
}

// FlushScripts forgets all loaded scripts.
func (s *Server) FlushScripts() { clear(s.scripts) }

func (s *Server) drop(l *Link) {
	clear(l.subs)
	s.Ended(l)
}

func (s *Server) publish(channel, text string) any {
	n := int64(0)
	for _, l := range s.links {
		if l.subs[channel] {
			l.send(appendValue(nil, push{"message", channel, text}))
			n++
		}
	}
	return n
}

// do carries out one command of a client and sends the answer.
func (s *Server) do(l *Link, args []string) {
	name := strings.ToUpper(args[0])
	var answer any
	switch name {
	case "HELLO":
		answer = pairs{"server", "redis", "version", "7.0.15", "proto", int64(3)}
	case "CLIENT":
		answer = status("OK")
	case "PING":
		answer = status("PONG")
	case "CLUSTER":
		answer = failure("ERR This instance has cluster support disabled")
	case "INFO":
		answer = "# Server\r\nrun_id:" + strconv.Itoa(s.Runs) + "\r\n# Cluster\r\ncluster_enabled:0\r\n"
	case "SCRIPT":
		answer = s.load(args)
	case "EVAL":
		s.load([]string{"SCRIPT", "LOAD", args[1]})
		answer = s.evalsha(l, append([]string{name, newScript("", args[1]).SHA}, args[2:]...))
	case "EVALSHA":
		answer = s.evalsha(l, args)
	case "SUBSCRIBE", "UNSUBSCRIBE":
		s.subscribe(l, name, args[1:])
		return
	default:
		if s.Refuse != "" && slices.Contains(writes, name) {
			answer = failure(s.Refuse)
			break
		}
		answer = s.call(name, args[1:])
	}
	l.send(appendValue(nil, answer))
}

func (s *Server) load(args []string) any {
	sc := newScript("", args[2])
	known := s.known[sc.SHA]
	if known == nil {
		panic("redissim: a script that is not known is loaded")
	}
	s.scripts[sc.SHA] = known
	return sc.SHA
}

func (s *Server) evalsha(l *Link, args []string) any {
	sc := s.scripts[args[1]]
	if sc == nil {
		return failure("NOSCRIPT No matching script. Please use EVAL.")
	}
	if s.Refuse != "" {
		return failure(s.Refuse)
	}
	n := int(atoi(args[2]))
	keys, argv := args[3:3+n], args[3+n:]
	if s.Shortcut != nil {
		if answer, done := s.Shortcut(sc.Name, keys, argv); done {
			return answer
		}
	}
	answer := s.lua.run(sc, keys, argv)
	if s.Carried != nil {
		s.Carried(l, sc.Name, keys, argv, answer)
	}
	return answer
}

func (s *Server) subscribe(l *Link, name string, channels []string) {
	for _, ch := range channels {
		if name == "SUBSCRIBE" {
			l.subs[ch], l.pubsub = true, true
		} else {
			delete(l.subs, ch)
		}
		l.send(appendValue(nil, push{strings.ToLower(name), ch, int64(len(l.subs))}))
	}
}

// Hash is a copy-free view of a hash; nil if there is none.
func (s *Server) Hash(key string) map[string]string {
	if v := s.get(key); v != nil {
		return v.hash
	}
	return nil
}

// Due reports whether a sorted set has a member up to the present time (ms).
func (s *Server) Due(key string) bool {
	v, now := s.get(key), float64(s.now().UnixMilli())
	if v != nil {
		for _, score := range v.zset {
			if score <= now {
				return true
			}
		}
	}
	return false
}

// Len is the length of a list.
func (s *Server) Len(key string) int {
	if v := s.get(key); v != nil {
		return len(v.list)
	}
	return 0
}

// Do carries out one command outside any connection, and returns the answer as Redis
// writes it.
func (s *Server) Do(args ...string) []byte {
	name := strings.ToUpper(args[0])
	switch name {
	case "SCRIPT":
		return appendValue(nil, s.load(args))
	case "EVALSHA":
		return appendValue(nil, s.evalsha(nil, args))
	}
	return appendValue(nil, s.call(name, args[1:]))
}
