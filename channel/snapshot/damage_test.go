package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"icomet/channel"
)

// written is the file of a hub.
func written(t testing.TB, hub *channel.Hub) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, n, err := encode(&b, preamble{time.Now(), hub.Lives()}, hub.States); err != nil || n != int64(b.Len()) {
		t.Fatal(n, err)
	}
	return b.Bytes()
}

// blocks are where the blocks of a file begin, and its end.
func blocks(file []byte) (starts []int) {
	at := headLen
	for at < len(file) {
		starts = append(starts, at)
		at += blockHeadLen + int(binary.LittleEndian.Uint32(file[at:]))
	}
	return append(starts, at)
}

// read decodes a file into a hub of its own.
func read(r io.Reader, size int) (*channel.Hub, error) {
	hub := channel.NewHub(limits())
	_, err := decode(r, int64(size),
		func(p preamble) { hub.Resume(p.lives, 0) },
		func(s *channel.State) error { _, err := hub.Restore(s); return err })
	return hub, err
}

// wantDamage wants a sentence about the damage, and reports where it was found.
func wantDamage(t testing.TB, what string, file []byte) *Damage {
	t.Helper()
	_, err := read(bytes.NewReader(file), len(file))
	d, ok := err.(*Damage)
	if !ok || d.What == "" || d.At < 0 || d.At > int64(len(file)) {
		t.Fatalf("%s: %v", what, err)
	}
	return d
}

// TestReadsInAnyPieces: how the file is handed out by the system does not matter.
func TestReadsInAnyPieces(t *testing.T) {
	t.Parallel()
	hub := variedHub(t)
	file := written(t, hub)
	for _, r := range []io.Reader{bytes.NewReader(file), iotest.HalfReader(bytes.NewReader(file)), iotest.DataErrReader(bytes.NewReader(file))} {
		if restored, err := read(r, len(file)); err != nil || !reflect.DeepEqual(states(hub), states(restored)) {
			t.Errorf("%T: %v", r, err)
		}
	}
	broken := io.MultiReader(bytes.NewReader(file[:len(file)/2]), iotest.ErrReader(errors.New("the disk is broken")))
	if _, err := read(broken, len(file)); err == nil || err.Error() != "the disk is broken" {
		t.Error(err)
	}
}

// TestTruncated: a file that ends early, at a block's boundary too, is found out.
func TestTruncated(t *testing.T) {
	t.Parallel()
	file := written(t, variedHub(t))
	starts := blocks(file)
	if len(starts) < 4 || starts[len(starts)-1] != len(file) {
		t.Fatalf("blocks at %v of %d", starts, len(file))
	}
	var at []int
	for _, start := range starts {
		at = append(at, start-1, start, start+1, start+blockHeadLen)
	}
	for range 200 {
		at = append(at, rand.IntN(len(file)))
	}
	for _, n := range append(at, 0, 1, headLen-1) {
		if n < len(file) {
			wantDamage(t, fmt.Sprint("the first ", n, " bytes"), file[:n])
		}
	}
	wantDamage(t, "a byte more", append(bytes.Clone(file), 0))
	wantDamage(t, "twice", append(bytes.Clone(file), file...))
}

// TestFlippedBits: every changed byte is found out, with the block that it is in.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	small := channel.NewHub(limits())
	publish(t, small, channel.Publication{Name: []byte("a"), Content: "a message", ID: "1"})
	file := written(t, small)
	for i := range file {
		for bit := range 8 {
			file[i] ^= 1 << bit
			wantDamage(t, fmt.Sprintf("bit %d of byte %d", bit, i), file)
			file[i] ^= 1 << bit
		}
	}
	file = written(t, variedHub(t))
	starts := blocks(file)
	for range 300 {
		i := rand.IntN(len(file))
		was := file[i]
		file[i] ^= byte(1 + rand.IntN(255))
		d := wantDamage(t, fmt.Sprint("byte ", i), file)
		block := 0
		for _, start := range starts {
			if start <= i {
				block = start
			}
		}
		if d.At != int64(block) {
			t.Errorf("byte %d: %v, but the block begins at %d", i, d, block)
		}
		file[i] = was
	}
}

// TestBlocksThatMoved: whole blocks that are missing, doubled or exchanged are found out.
func TestBlocksThatMoved(t *testing.T) {
	t.Parallel()
	file := written(t, variedHub(t))
	b := blocks(file)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	wantDamage(t, "the second is missing", join(file[:b[1]], file[b[2]:]))
	wantDamage(t, "the second is there twice", join(file[:b[2]], file[b[1]:]))
	wantDamage(t, "two are exchanged", join(file[:b[0]], file[b[1]:b[2]], file[b[0]:b[1]], file[b[2]:]))
	other := written(t, variedHub(t)) // the same channels, with other epochs and tokens
	o := blocks(other)
	if o[1] != b[1] || o[2] != b[2] {
		t.Fatalf("%v, %v", o, b)
	}
	wantDamage(t, "the second is of another file", join(file[:b[1]], other[o[1]:o[2]], file[b[2]:]))
	wantDamage(t, "all but the first are of another file", join(file[:b[1]], other[o[1]:]))
}

// packed puts a stream into blocks, for contents that no encoder writes.
func packed(stream []byte) []byte {
	var b bytes.Buffer
	e := &encoder{w: &b, block: make([]byte, blockHeadLen, blockHeadLen+maxBlock)}
	e.begin()
	for _, c := range stream {
		e.byte(c)
	}
	e.flush()
	return b.Bytes()
}

const someTime = "12345678" + "salt" + "live"

// TestImpossibleContents: checksums that are right do not make a channel that cannot be.
func TestImpossibleContents(t *testing.T) {
	t.Parallel()
	const token = "\x200123456789abcdef0123456789abcdef"
	for what, c := range map[string]struct{ stream, want string }{
		"nothing":              {"", "in the middle"},
		"no record":            {someTime, "in the middle"},
		"another kind":         {someTime + "\x10", "16 is no kind of a record"},
		"no name":              {someTime + "\x01\x00EPOC\x01\x05\x00", "cannot be"},
		"no UTF-8":             {someTime + "\x01\x01\xffEPOC\x01\x05\x00", "cannot be"},
		"a long name":          {someTime + "\x01\x80\x02" + strings.Repeat("a", 256), "256 is over 255"},
		"no epoch":             {someTime + "\x01\x01a\x00\x00\x00\x00\x01\x05\x00", "cannot be"},
		"seq 0":                {someTime + "\x01\x01aEPOC\x00\x05\x00", "cannot be"},
		"a seq over int64":     {someTime + "\x01\x01aEPOC" + strings.Repeat("\xff", 9) + "\x01", "is over"},
		"a number too large":   {someTime + "\x01\x01aEPOC" + strings.Repeat("\xff", 11), "a number is too large"},
		"too long a life":      {someTime + "\x01\x01aEPOC\x01" + strings.Repeat("\xff", 5) + "\x01", "is over"},
		"a short token":        {someTime + "\x05\x01aEPOC\x01\x05\x01a", "a token of 1 bytes"},
		"too many messages":    {someTime + "\x01\x01aEPOC\x02\x05\x02", "2 messages before seq 2"},
		"another message":      {someTime + "\x01\x01aEPOC\x02\x05\x01\x08\x00\x00", "no kind of a message"},
		"too long a text":      {someTime + "\x01\x01aEPOC\x02\x05\x01\x00\x00\xff\xff\xff\xff\x0f", "is over"},
		"an id of nothing":     {someTime + "\x09\x01aEPOC\x02\x05\x00\x01\x02\x01i", "an id"},
		"an id to come":        {someTime + "\x09\x01aEPOC\x02\x05\x00\x01\x00\x01i", "an id"},
		"an empty id":          {someTime + "\x09\x01aEPOC\x02\x05\x00\x01\x01\x00", "an id"},
		"twice the same":       {someTime + strings.Repeat("\x01\x01aEPOC\x01\x05\x00", 2) + "\x00\x02\x00\x00", "there is such a channel already"},
		"other counts":         {someTime + "\x05\x01aEPOC\x01\x05" + token + "\x00\x00\x02\x00\x00", "it should have 2 channels"},
		"more behind the end":  {someTime + "\x00\x00\x00\x00\x00", "something behind the end"},
		"the end without sums": {someTime + "\x00", "in the middle"},
	} {
		if d := wantDamage(t, what, packed([]byte(c.stream))); !strings.Contains(d.What, c.want) {
			t.Errorf("%s: %v, want %q in it", what, d, c.want)
		}
	}
	good := packed([]byte(someTime + "\x05\x01aEPOC\x01\x05" + token + "\x00\x00\x01\x00\x00"))
	if hub, err := read(bytes.NewReader(good), len(good)); err != nil || hub.Channels() != 1 {
		t.Error(err)
	}
}

// TestSetAside: a file that cannot be used does not stop the server, is kept for people to
// look at, and is never read again.
func TestSetAside(t *testing.T) {
	t.Parallel()
	good := written(t, variedHub(t))
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	newer := append(head(version+1), "whatever it has"...)
	for want, file := range map[string][]byte{
		"the checksum is wrong":                               flipped,
		"it is of version 2, and this server reads version 1": newer,
		"this is no snapshot":                                 []byte("# The configuration of icomet-server"),
		"the file ends at byte 0, in the middle":              {},
		fmt.Sprintf("ends at byte %d", len(good)-1):           good[:len(good)-1],
		"the checksum of the head is wrong":                   append([]byte(magic+"\x02\x00\x00\x00abcd"), good[headLen:]...),
		"the file ends at byte 16, in the middle":             good[:headLen],
		"at byte 16: a block of 4294967295 bytes cannot":      append(bytes.Clone(good[:headLen]), bytes.Repeat([]byte{255}, 100)...),
	} {
		s := open(t)
		if err := os.WriteFile(s.path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load(channel.NewHub(limits()), time.Now())
		aside, ok := errors.AsType[*SetAsideError](err)
		if !ok || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "it is set aside as "+s.path+".bad") {
			t.Errorf("%v, want %q", err, want)
			continue
		}
		if kept, err := os.ReadFile(aside.Aside); err != nil || !bytes.Equal(kept, file) {
			t.Errorf("%s: %v", aside.Aside, err)
		}
		hub := channel.NewHub(limits())
		if l, err := s.Load(hub, time.Now()); err != nil || !l.Taken.IsZero() || hub.Channels() != 0 {
			t.Errorf("loaded again: %+v, %v", l, err)
		}
		if saved, err := s.Save(hub, time.Now()); err != nil || saved.Channels != 0 {
			t.Errorf("saved: %+v, %v", saved, err)
		}
	}
}

// FuzzContents puts any stream behind the head and into blocks with right checksums: no
// panic, and what is accepted is a hub like any other.
func FuzzContents(f *testing.F) {
	file, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	var stream []byte
	b := blocks(file)
	for i := range b[:len(b)-1] {
		stream = append(stream, file[b[i]+blockHeadLen:b[i+1]]...)
	}
	f.Add(stream)
	f.Add([]byte(someTime + "\x0f\x01aEPOC\x03\x05\x200123456789abcdef0123456789abcdef\x02\x01\x00\x01b\x00\x00\x01c\x01\x01\x01i\x00\x01\x02\x02"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		file := packed(stream)
		hub, err := read(bytes.NewReader(file), len(file))
		if err != nil {
			return
		}
		again, err := read(bytes.NewReader(written(t, hub)), 1<<40)
		if err != nil && !strings.Contains(err.Error(), "behind the end") || again.Channels() != hub.Channels() {
			t.Errorf("%v; %d channels, then %d", err, hub.Channels(), again.Channels())
		}
	})
}

// FuzzFile changes anything: it is found out.
func FuzzFile(f *testing.F) {
	hub := channel.NewHub(limits())
	publish(f, hub, channel.Publication{Name: []byte("a"), Content: "a message", ID: "1"})
	good := written(f, hub)
	f.Add(good)
	f.Fuzz(func(t *testing.T, file []byte) {
		_, err := read(bytes.NewReader(file), len(file))
		if d, ok := err.(*Damage); err != nil && (!ok || d.What == "") {
			t.Errorf("%T %v", err, err)
		}
	})
}
