package reactor

import (
	"errors"
	"testing"
	"unsafe"
)

// TestSizes: an idle connection costs no more than it has to. Both are sizes of Go's
// allocator.
func TestSizes(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(Conn{}); n != 128 {
		t.Errorf("a plain connection has %d bytes, want 128", n)
	}
	if n := unsafe.Sizeof(secured{}); n != 256 {
		t.Errorf("a connection over TLS has %d bytes, want 256", n)
	}
}

// bareSecured is a connection over TLS that no client has, and that has sent and received so
// many records.
func bareSecured(l *loop, records int) *secured {
	s := &secured{Conn: Conn{loop: l, slot: noSlot, marks: markTLS | markShaking, since: l.now}}
	client := shakeHands(s)
	for range records {
		var errs [3]error
		_, errs[0] = s.seal([]byte("x"))
		client.out, errs[1] = client.state.Seal(client.cipher, client.out[:0], dataRecord, []byte("x"))
		_, errs[2] = s.state.Open(l.ciphers.opener(s), client.out)
		if err := errors.Join(errs[:]...); err != nil {
			panic(err)
		}
	}
	return s
}

// TestCiphersOfTheBusy: who is busy keeps its ciphers, and loses them when it has been quiet
// for keepTicks. A newcomer, and who gets something now and then, keeps none.
func TestCiphersOfTheBusy(t *testing.T) {
	t.Parallel()
	l := bareLoop(t)
	l.now = 1000
	cs, s := &l.ciphers, bareSecured(l, freshRecords)
	if fresh := bareSecured(l, freshRecords-1); cs.sealer(fresh) == nil || cs.opener(fresh) == nil || fresh.busy != nil || len(cs.kept) != 0 {
		t.Errorf("a newcomer keeps %+v, %d kept", fresh.busy, len(cs.kept))
	}
	sealer, opener := cs.sealer(s), cs.opener(s)
	for range keepTicks + 10 { // busy: a use in each tick
		l.now++
		if cs.sealer(s) != sealer {
			t.Fatalf("at %d another cipher is made", l.now)
		}
		cs.sweepSome()
	}
	for range keepTicks {
		l.now++
		cs.sweepSome()
		if s.busy == nil || s.busy.sealer != sealer || s.busy.opener != opener || len(cs.kept) != 1 {
			t.Fatalf("at %d the ciphers are dropped: %+v, %d kept", l.now, s.busy, len(cs.kept))
		}
	}
	l.now++
	cs.sweepSome()
	if s.busy != nil || len(cs.kept) != 0 {
		t.Errorf("after %d quiet ticks: %+v, %d kept", keepTicks+1, s.busy, len(cs.kept))
	}
	if s.since = l.now - keepTicks - 1; cs.sealer(s) == nil || s.busy != nil || len(cs.kept) != 0 {
		t.Errorf("a heartbeat keeps %+v, %d kept", s.busy, len(cs.kept))
	}
	if s.since = l.now - keepTicks; cs.sealer(s) == nil || len(cs.kept) != 1 {
		t.Errorf("the second message within %d ticks: %d kept", keepTicks, len(cs.kept))
	}

	// A part of a record outlives the ciphers, and what has ended is let go.
	s.hold([]byte{23, 3, 3}, l.now)
	ended := bareSecured(l, freshRecords)
	cs.sealer(ended)
	ended.release()
	l.now += keepTicks + 1
	cs.sweepSome()
	if s.busy == nil || s.busy.in == nil || s.busy.sealer != nil || len(cs.kept) != 0 {
		t.Errorf("with a part of a record: %+v, %d kept", s.busy, len(cs.kept))
	}
	if busy := bareSecured(l, freshRecords); len(cs.kept) == 0 {
		cs.kept = make([]*secured, keptCiphers)
		if cs.sealer(busy); busy.busy != nil || len(cs.kept) != keptCiphers {
			t.Errorf("over the limit: %+v, %d kept", busy.busy, len(cs.kept))
		}
		cs.kept = nil
	}
}
