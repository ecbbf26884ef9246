package redissim

import (
	"maps"
	"slices"
	"time"
)

// value is one key: a string, hash, list or sorted set, and the time at which it expires.
type value struct {
	str     string
	hash    map[string]string
	list    []string
	zset    map[string]float64
	expires time.Time // zero: never
}

func (v *value) clone() *value {
	out := *v
	out.hash, out.list, out.zset = maps.Clone(v.hash), slices.Clone(v.list), maps.Clone(v.zset)
	return &out
}

func (v *value) empty() bool {
	return v.hash != nil && len(v.hash) == 0 || v.list != nil && len(v.list) == 0 || v.zset != nil && len(v.zset) == 0
}

// get returns a key that exists and has not expired, or nil.
func (s *Server) get(key string) *value {
	v := s.keys[key]
	if v != nil && !v.expires.IsZero() && !s.now().Before(v.expires) {
		delete(s.keys, key)
		return nil
	}
	return v
}

// make returns a key, which it creates if needed.
func (s *Server) make(key string, init func(*value)) *value {
	v := s.get(key)
	if v == nil {
		v = new(value)
		init(v)
		s.keys[key] = v
	}
	return v
}

func (s *Server) hash(key string) map[string]string {
	return s.make(key, func(v *value) { v.hash = make(map[string]string) }).hash
}

func (s *Server) zset(key string) map[string]float64 {
	return s.make(key, func(v *value) { v.zset = make(map[string]float64) }).zset
}

// tidy removes a collection that has become empty, as Redis does.
func (s *Server) tidy(key string) {
	if v := s.keys[key]; v != nil && v.empty() {
		delete(s.keys, key)
	}
}

// now is the server's clock.
func (s *Server) now() time.Time { return time.Now().Add(s.Skew) }

// member is an entry of a sorted set.
type member struct {
	name  string
	score float64
}

func members(z map[string]float64) []member {
	list := make([]member, 0, len(z))
	for name, score := range z {
		list = append(list, member{name, score})
	}
	slices.SortFunc(list, func(a, b member) int {
		switch {
		case a.score < b.score || a.score == b.score && a.name < b.name:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	return list
}

// Snapshot is a copy of all data, as a replica has it.
type Snapshot map[string]*value

// Snapshot copies the data as it is now.
func (s *Server) Snapshot() Snapshot {
	out := make(Snapshot, len(s.keys))
	for key, v := range s.keys {
		out[key] = v.clone()
	}
	return out
}

// Restore replaces the data; nil empties it.
func (s *Server) Restore(from Snapshot) {
	s.keys = make(map[string]*value, len(from))
	for key, v := range from {
		s.keys[key] = v.clone()
	}
}
