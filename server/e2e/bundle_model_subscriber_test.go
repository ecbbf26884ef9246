package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"icomet/server/servertest"
)

func (u *stormSub) connect(id string) (last string, err error) {
	u.m.heard[1].Add(1)
	switch {
	case u.polls() && len(u.names) == 0:
		u.pick(1 + u.r.IntN(6))
	case u.kind == "ws":
		u.begin()
	}
	rcvbuf := 0
	if u.r.IntN(6) == 0 {
		rcvbuf = 16 << 10
	}
	c, err := servertest.DialNarrow(u.m.s.front, rcvbuf)
	if err != nil {
		return "", err
	}
	defer c.Close()
	fields := ""
	if id != "" {
		fields = "Last-Event-ID: " + id + "\r\n"
	}
	if u.f, err = servertest.SubscribeQuery(c, u.kind, u.query, fields); err != nil {
		if id != "" {
			err = nil // 204: it has had all of channels that have ended
		}
		return "", err
	}
	for _, p := range u.chans {
		if p.may = u.kind == "sse"; p.may {
			p.state = "on" // what was over before may be there again
		}
	}
	for n := 100 + u.r.IntN(2000); n > 0 || u.m.over.Load(); n-- {
		if u.polls() {
			if len(u.names) == 0 {
				return "", nil
			}
			u.write()
			u.f.Query = u.query
		}
		ms, err := u.f.Messages()
		if err != nil { // closed, ended, cut
			if err == io.EOF {
				return "", nil
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return "", u.waits(err.Error())
			}
			return u.f.LastID, nil
		}
		for _, m := range ms {
			if err := u.take(m); err != nil {
				return "", err
			}
		}
		if u.done() {
			return "", errStormOver
		}
		if at := u.m.since.Load(); at != 0 && time.Since(time.Unix(0, at)) > patience {
			return "", u.waits(fmt.Sprintf("%+v", ms))
		}
		if u.kind == "ws" && u.r.IntN(20) == 0 {
			u.command()
		}
	}
	return u.f.LastID, nil
}

func (u *stormSub) waits(last string) error {
	var all []string
	for name, p := range u.chans {
		all = append(all, fmt.Sprintf("%s: %d %q last %v", name, p.next, p.state, p.last))
	}
	return fmt.Errorf("waits for ever behind %s: %q, asked for %s", last, all, u.query)
}

func (u *stormSub) done() bool {
	all := 0
	for _, p := range u.chans {
		switch p.state {
		case "on":
			if !p.last {
				return false
			}
			all++
		case "asked", "leaving", "gone":
			return false
		}
	}
	return u.m.over.Load() && (all > 0 || u.kind == "ws")
}

func (u *stormSub) take(m servertest.Message) error {
	u.m.heard[0].Add(1)
	p := u.chans[m.Cname]
	wrong := func() error { return fmt.Errorf("%+.200v; it is at %+v", m, *p) }
	switch {
	case m.Type == "noop":
		return nil
	case p == nil:
		return fmt.Errorf("not asked for: %+v", m)
	case m.Type == "400" && p.state == "gone":
		p.state = ""
		return nil
	case p.state == "over" || p.state == "" || p.state == "gone":
		return wrong()
	}
	switch m.Type {
	case "position":
		if m.Recovered && m.Seq != p.next || m.Recovered && p.epoch != "" && p.epoch != m.Epoch {
			return wrong()
		}
		if p.epoch = m.Epoch; !m.Recovered {
			if m.Reason != "epoch" || m.Seq != 1 {
				return wrong()
			}
			p.reset(1, m.Epoch)
		}
		if p.state == "asked" {
			p.state = "on"
		}
	case "next_seq":
		if m.Seq != p.next && !(p.may && m.Seq < p.next) {
			return wrong()
		}
	case "data", "broadcast":
		if m.Seq < p.next && p.may && p.before[m.Seq] == m.Content {
			return nil
		}
		if m.Seq != p.next || p.state == "asked" {
			return wrong()
		}
		p.next, p.last = m.Seq+1, m.Content == stormLast
		if u.kind == "sse" {
			p.before[m.Seq] = m.Content
		}
	case "unsubscribed":
		if m.Seq != p.next || p.state != "leaving" {
			return wrong()
		}
		p.state = ""
	case "close", "end":
		u.m.heard[2].Add(1)
		if m.Seq != p.next {
			return wrong()
		}
		u.ended(m.Cname, p)
	default:
		return wrong()
	}
	return nil
}

func (u *stormSub) ended(name string, p *stormPlace) {
	switch {
	case u.polls():
		delete(u.chans, name)
		u.names = slices.DeleteFunc(u.names, func(n string) bool { return n == name })
	case u.kind != "ws":
		p.state = "over"
	case p.state == "leaving":
		p.state = "gone" // the answer to its unsubscribe will be 400
	default:
		p.state = ""
	}
}

func (u *stormSub) begin() {
	u.names = nil
	for i := range stormNames {
		name := stormName(i)
		if p := u.chans[name]; p == nil {
			u.add(name)
			u.names = u.names[:len(u.names)-1]
		}
		p := u.chans[name]
		if p.state = ""; u.r.IntN(4) == 0 {
			p.state = "asked"
			u.names = append(u.names, name)
		}
	}
	u.write()
}

func (u *stormSub) command() {
	if u.m.over.Load() {
		return
	}
	name := stormName(u.r.IntN(stormNames))
	p := u.chans[name]
	text := ""
	switch p.state {
	case "on":
		p.state = "leaving"
		text = fmt.Sprintf(`{"type":"unsubscribe","cname":"%s"}`, name)
	case "":
		p.state = "asked"
		text = fmt.Sprintf(`{"type":"subscribe","cname":"%s","seq":%d,"epoch":"%s"}`, name, p.next, p.epoch)
	default:
		return
	}
	_ = u.f.SendFrame(servertest.FrameText, text) // if it cannot be sent, reading fails too
}
