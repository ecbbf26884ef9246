package reactor

import (
	"icomet/tlsrecord"
)

const (
	// keptCiphers is how many connections of a loop may keep their ciphers: at 0.8 to
	// 1.6 KB each, about 100 MB.
	keptCiphers = 65536
	// keepTicks is how long after its last use a connection keeps them, and how
	// soon after the last write another must come for them to be kept at all: an idle
	// connection, which gets a heartbeat now and then, makes one and drops it.
	keepTicks = uint32(100)
	// freshRecords is how many records of a direction are too few to keep its cipher: all
	// newcomers are busy for a moment, and what those of a storm keep would double the heap,
	// and stay as holes in it.
	freshRecords = 4
	// cipherBytes is the size of one with AES-GCM and what making it leaves behind.
	cipherBytes = 2 << 10
	// sweepCiphers is how many kept ciphers one tick looks at.
	sweepCiphers = 4096
)

// ciphers are those of a loop's busy connections. Making one costs 600 to 900 ns and
// 1.3 KB of garbage, which the messages of a busy channel must not pay each.
type ciphers struct {
	loop  *loop
	kept  []*secured
	sweep int    // where the next sweep goes on
	out   []byte // what is sealed
}

// sealer is the cipher of what s sends.
func (cs *ciphers) sealer(s *secured) *tlsrecord.Cipher {
	if b := s.busy; b != nil && b.sealer != nil {
		b.used = cs.loop.now
		return b.sealer
	}
	c := s.state.Sealer()
	if _, sent := s.state.Records(); sent >= freshRecords && cs.keep(s) {
		s.busy.sealer = c
	}
	return c
}

// opener is the cipher of what s receives.
func (cs *ciphers) opener(s *secured) *tlsrecord.Cipher {
	if b := s.busy; b != nil && b.opener != nil {
		b.used = cs.loop.now
		return b.opener
	}
	c := s.state.Opener()
	if received, _ := s.state.Records(); received >= freshRecords && cs.keep(s) {
		s.busy.opener = c
	}
	return c
}

// keep reports whether s keeps a cipher that was made for it: it was busy a moment ago.
func (cs *ciphers) keep(s *secured) bool {
	if b := s.busy; b != nil && b.kept {
		b.used = cs.loop.now
		return true
	}
	if len(cs.kept) >= keptCiphers || cs.loop.now-s.since > keepTicks {
		return false
	}
	b := s.needs()
	b.used, b.kept = cs.loop.now, true
	cs.kept = append(cs.kept, s)
	return true
}

// sweepSome drops the ciphers of connections that have become idle.
func (cs *ciphers) sweepSome() {
	for range min(sweepCiphers, len(cs.kept)) {
		if cs.sweep >= len(cs.kept) {
			cs.sweep = 0
		}
		s := cs.kept[cs.sweep]
		b := s.busy
		if b != nil && cs.loop.now-b.used <= keepTicks {
			cs.sweep++
			continue
		}
		last := len(cs.kept) - 1
		cs.kept[cs.sweep], cs.kept[last] = cs.kept[last], nil
		cs.kept = cs.kept[:last]
		cs.loop.stats.LetGo.Add(cipherBytes)
		if b != nil {
			b.sealer, b.opener, b.kept = nil, nil, false
			s.tidy()
		}
	}
	if len(cs.kept) == 0 {
		cs.kept = nil // after a storm
	}
}

// room is space for sealing n bytes. It is overwritten by the next call.
func (cs *ciphers) room(n int) []byte {
	if need := n + tlsrecord.Overhead(n); cap(cs.out) < need {
		cs.out = make([]byte, 0, max(need, 4096))
	}
	return cs.out[:0]
}

// trim frees what one huge message has made huge.
func (cs *ciphers) trim() {
	if cap(cs.out) > maxPooled+maxPooled/4 {
		cs.out = nil
	}
}
