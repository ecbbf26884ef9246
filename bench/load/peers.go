//go:build linux

package load

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// peers are the pipes between workers. A channel's subscribers may be in other processes
// than its publisher: a closed loop must know when all of them have a message, and at the
// end all must know how much was published. Each worker reads one pipe and can write to
// that of every other.
type peers struct {
	in     int      // descriptors of pipes
	to     []int    // by worker
	out    [][]byte // by worker, not written yet
	buf    []byte
	gotten []byte // the beginning of an incomplete record
}

const (
	peerPart  = iota + 1 // all subscribers of the sender have the message in flight
	peerFinal            // value messages were published in all
)

type peerRecord struct {
	channel, op, value uint32
}

const peerRecordSize = 12

func newPeers(in int, to []int) (*peers, error) {
	for _, fd := range append([]int{in}, to...) {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("pipe between workers: %w", err)
		}
	}
	return &peers{in: in, to: to, out: make([][]byte, len(to)), buf: make([]byte, 64<<10)}, nil
}

func (p *peers) send(worker int, r peerRecord) {
	b := p.out[worker]
	b = binary.LittleEndian.AppendUint32(b, r.channel)
	b = binary.LittleEndian.AppendUint32(b, r.op)
	p.out[worker] = binary.LittleEndian.AppendUint32(b, r.value)
}

// flush writes what the pipes take. A write of at most PIPE_BUF bytes is whole or nothing,
// so that the records of several workers do not mix.
func (p *peers) flush() {
	const most = 4096 / peerRecordSize * peerRecordSize
	for i, b := range p.out {
		for len(b) > 0 {
			n, err := unix.Write(p.to[i], b[:min(len(b), most)])
			if err != nil {
				break // full: the next round of the loop tries again
			}
			b = b[n:]
		}
		p.out[i] = append(p.out[i][:0], b...)
	}
}

func (p *peers) read(each func(peerRecord)) {
	n, err := unix.Read(p.in, p.buf)
	if err != nil || n <= 0 {
		return
	}
	b := append(p.gotten, p.buf[:n]...)
	for len(b) >= peerRecordSize {
		each(peerRecord{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])})
		b = b[peerRecordSize:]
	}
	p.gotten = append(p.gotten[:0], b...)
}

func (w *worker) peerRecord(r peerRecord) {
	g := w.groupOf(r.channel)
	ch := &w.channels[r.channel]
	switch r.op {
	case peerPart:
		w.lastMove = Now()
		w.part(g, r.channel)
	case peerFinal:
		ch.final = true
		ch.published = r.value
		w.finals--
		w.owed += int64(r.value)*int64(ch.need) - int64(ch.ahead)
	}
}

// tellFinals tells each other worker how much was published on the channels of its
// subscribers.
func (w *worker) tellFinals() {
	for _, g := range w.groups {
		for index := g.base; index <= g.broadcast; index++ {
			ch := &w.channels[index]
			if ch.remote {
				continue
			}
			ch.final = true
			if w.peers == nil || ch.parts == 0 {
				continue
			}
			for _, other := range w.partners(g, index) {
				if other != w.Index {
					w.peers.send(other, peerRecord{channel: index, op: peerFinal, value: ch.published})
				}
			}
		}
	}
}
