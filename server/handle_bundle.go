package server

import (
	"bytes"
	"fmt"

	"icomet/channel"
	"icomet/server/params"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// wanted reads the channels that r names, or answers 400. A refusal of one is in its Err.
func (s *Server) wanted(c *reactor.Conn, r *reactor.Request, t wire.Transport) (list []reactor.Wanted, noop int64, ok bool) {
	set := s.settings.Load()
	n := r.Params.Channels()
	if limit := set.config.Limits.ChannelsPerConnection; n > limit {
		c.Refuse(r, 400, fmt.Sprintf("too many channels: one connection may have %d (limits.channels_per_connection)", limit))
		return nil, 0, false
	}
	if noop, ok = c.Int(r, params.Noop); !ok {
		return nil, 0, false
	}
	raw, ok := c.Flag(r, params.Raw)
	if !ok {
		return nil, 0, false
	}
	if raw {
		c.Refuse(r, 400, "raw=1 is for one channel")
		return nil, 0, false
	}
	ids := eventIDs(r, t, n)
	refused := c.Over()
	names := make(map[string]bool, n)
	list = make([]reactor.Wanted, n)
	for i := range list {
		r.Params.Select(i)
		w := wish{transport: t}
		if !w.read(c, r) {
			return nil, 0, false
		}
		if names[string(w.Name)] {
			c.Refuse(r, 400, "a cname is given twice")
			return nil, 0, false
		}
		names[string(w.Name)] = true
		if ids != nil && ids[i].epoch != 0 {
			w.goOnBehind(ids[i])
		}
		if list[i].Err = refused; refused == nil {
			list[i].Err = s.authorize(&w, subscriberToken(r))
		}
		list[i].Join = w.Join
	}
	if refused == nil { // behind the last 400, since it may count the client
		refused = s.admitConnection(c, r)
		for i := range list {
			if refused != nil {
				list[i].Err = refused
			}
		}
	}
	return list, noop, true
}

// eventIDs are the positions of n channels that the event id of an SSE client says; nil when
// there is none, or one of another number.
func eventIDs(r *reactor.Request, t wire.Transport, n int) []eventID {
	if t != wire.TransportSSE {
		return nil
	}
	ids := parseEventIDs(r.Get("last-event-id"), n)
	if ids == nil {
		ids = parseEventIDs(r.Params.Get(params.LastEventID), n)
	}
	return ids
}

func parseEventIDs(text []byte, n int) []eventID {
	parts := bytes.Split(text, []byte(","))
	if len(parts) != n {
		return nil
	}
	ids := make([]eventID, n)
	for i, part := range parts {
		if string(part) == noEventID {
			continue
		}
		id, ok := parseEventID(part)
		if !ok || id.epoch == 0 {
			return nil
		}
		ids[i] = id
	}
	return ids
}

// noEventID stands for a channel of which the client has had nothing.
const noEventID = "00000000-0"

// pollMany is poll for several channels.
func (s *Server) pollMany(c *reactor.Conn, r *reactor.Request, style *wire.PollStyle) {
	list, noop, ok := s.wanted(c, r, wire.TransportPoll)
	if !ok {
		return
	}
	waits, err := c.JoinAll(list, wire.TransportPoll, noop)
	switch {
	case err == reactor.ErrParked:
	case err != nil:
		refuseUnavailable(c, r, wire.TransportPoll, err)
	case waits:
		c.Remember(style)
	default:
		c.Answer(r, list, style)
	}
}

// openMany is open for several channels.
func (s *Server) openMany(c *reactor.Conn, r *reactor.Request, t wire.Transport) {
	list, noop, ok := s.wanted(c, r, t)
	if !ok {
		return
	}
	_, err := c.JoinAll(list, t, noop)
	switch {
	case err == reactor.ErrParked:
	case err != nil:
		refuseUnavailable(c, r, t, err)
	case t == wire.TransportSSE && hadAllOf(list):
		c.LeaveBundle()
		c.NoContent(r)
	default:
		out := c.Out()
		out.B = c.AppendOpenHead(out.B, r, t.Bundle())
		c.BeginBundle(r, list)
	}
}

// hadAllOf reports that all channels have ended and the subscriber has had all of them.
func hadAllOf(list []reactor.Wanted) bool {
	for i := range list {
		w := wish{Join: list[i].Join, transport: wire.TransportSSE}
		if list[i].Err != nil || !w.hadAll(&list[i].Joined) {
			return false
		}
	}
	return true
}

// authorize says why a subscriber may not have a channel, as far as that can be told without
// the channel, and sets what is to be checked with it.
func (s *Server) authorize(w *wish, token []byte) error {
	set := s.settings.Load()
	auth := set.authOf(w.Name)
	w.Token = token
	w.Auth, w.Known = auth == authToken, !set.config.Front.CreateOnSubscribe
	if auth == authJWT && !set.jwt.Admits(s.log, token, w.Name) {
		return channel.ErrToken
	}
	return nil
}
