package channel

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		glob, name string
		want       bool
	}{
		{"a", "a", true}, {"a", "A", false}, {"a", "ab", false}, {"", "", true}, {"", "a", false},
		{"*", "", true}, {"*", "anything", true}, {"a*", "a", true}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*b*c", "aXbYc", true}, {"a*b*c", "abbc", true}, {"a*b*c", "acb", false}, {"**", "x", true},
		{"?", "", false}, {"?", "\u00e9", true}, {"??", "\u00e9", false}, {"a?c", "abc", true},
		{"*.?", "x.y.z", true}, {"[a]", "a", false}, {"a.b", "axb", false}, {"chat.*", "chat.room.1", true},
		{"*aab", "aaaab", true}, {"\u65e5*", "\u65e5\u672c", true},
	} {
		if Match(tc.glob, tc.name) != tc.want || Match(tc.glob, []byte(tc.name)) != tc.want {
			t.Errorf("%q and %q: not %v", tc.glob, tc.name, tc.want)
		}
	}
}

// TestChannelIsSmall: a size that the allocator has.
func TestChannelIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Channel{}); size != 80 {
		t.Errorf("%d bytes", size)
	}
}

func withClasses(classes ...Class) Limits {
	l := small
	l.BufferSize, l.Classes = 5, classes
	return l
}

// TestReloadOfClasses: a channel that is used while a reload has not come to it yet has its
// new class, and not the one that happens to stand where its old one stood.
func TestReloadOfClasses(t *testing.T) {
	a := Class{Match: "a*", BufferSize: 4, MaxSubscribers: 9, Timeout: time.Hour}
	b := Class{Match: "b*", BufferSize: 1, MaxSubscribers: 9, Timeout: time.Hour}
	h := NewHub(withClasses(a))
	for range 4 {
		publish(t, h, "a1", "x")
	}
	c := h.lookup([]byte("a1"))
	c.mu.Unlock()
	s := h.shard(c.hash)
	s.mu.Lock() // the reload waits before this channel
	done := make(chan struct{})
	go func() { h.SetLimits(withClasses(b, a)); close(done) }()
	for end := time.Now().Add(time.Minute); len(h.Limits().Classes) == 1; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the new limits do not hold")
		}
	}
	c.mu.Lock()
	h.keep(c, h.classLocked(c), Message{Seq: c.next, Content: "x"})
	c.next++
	stored := c.ring.stored()
	c.mu.Unlock()
	s.mu.Unlock()
	<-done
	if stored != 4 {
		t.Errorf("%d messages are stored, want the class's 4", stored)
	}
}

// TestReloadToNothingWhileRead: who reads a backlog in pieces when its channel stops to store
// messages gets those that come then too.
func TestReloadToNothingWhileRead(t *testing.T) {
	h, _ := newTestHub(t, withClasses())
	for range 3 {
		publish(t, h, "a", "content")
	}
	j := join(t, h, Join{Name: []byte("a"), Since: 1, Limit: 1, Keep: 1 << 20})
	if !j.More {
		t.Fatalf("%+v", j)
	}
	l := withClasses(Class{Match: "*", BufferSize: 0, MaxSubscribers: 9, Timeout: time.Hour})
	h.SetLimits(l)
	for range 2 {
		publish(t, h, "a", "content")
	}
	p := h.Read(j.Channel, 1, 1<<20, nil)
	if len(p.Messages) != 5 || p.Lost || !p.End {
		t.Errorf("%d messages, %+v", len(p.Messages), p)
	}
	h.EndRead(j.Channel)
	if got := join(t, h, Join{Name: []byte("a"), Since: 1}); len(got.Replay) != 0 {
		t.Errorf("a newcomer gets %v", got.Replay)
	}
}
