package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// layoutInterval is how often a Cluster is asked which master serves which slots. After a
// break it is asked at once.
const layoutInterval = time.Second

// findCluster reports whether Redis runs as a Cluster.
func (e *Engine) findCluster() (bool, error) {
	ctx, cancel := e.deadline()
	defer cancel()
	text, err := send(ctx, e.client, e.client.B().Info().Section("cluster").Build())[0].ToString()
	return strings.Contains(text, "cluster_enabled:1"), err
}

// masterClient is the client of one master, or nil.
func (e *Engine) masterClient(addr string) rueidis.Client {
	if !e.cluster {
		return e.client
	}
	return e.client.Nodes()[addr]
}

// layOut assigns every partition to the group of its master.
func (e *Engine) layOut() error {
	owner := func(int) string { return "" }
	if e.cluster {
		var err error
		if owner, err = e.owners(); err != nil {
			return fmt.Errorf("who serves what: %w", err)
		}
	}
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	select {
	case <-e.stop:
		return nil
	default:
	}
	used, adopts := make(map[*group]bool), make(map[*group]bool)
	for _, p := range e.parts {
		addr := owner(p.index)
		g := e.groups[addr]
		if g == nil {
			g = e.newGroup(addr)
			e.groups[addr] = g
		}
		used[g] = true
		if p.group.Swap(g) != g && g.isLive() {
			g.adopt(p)
			adopts[g] = true
		}
	}
	for g := range adopts {
		if e.watching.Load() {
			g.addWatch(&watch{}) // the presence of these partitions
		}
	}
	for addr, g := range e.groups {
		if !used[g] {
			delete(e.groups, addr)
			g.close()
		}
	}
	return nil
}

// owners asks a Cluster for the master of each partition, by address.
func (e *Engine) owners() (func(int) string, error) {
	b := e.client.B()
	commands := []rueidis.Completed{b.ClusterSlots().Build()}
	for _, p := range e.parts {
		commands = append(commands, b.ClusterKeyslot().Key(p.due).Build())
	}
	// Any node can answer; the first answer counts. Each has the time of one call.
	err := errors.New("no node is known")
	for addr, c := range e.client.Nodes() {
		ctx, cancel := e.deadline()
		results := send(ctx, c, commands...)
		cancel()
		if err = firstError(results); err == nil {
			return readOwners(addr, results)
		}
		if ended(e.stop) {
			break
		}
	}
	return nil, err
}

func readOwners(asked string, results []rueidis.RedisResult) (func(int) string, error) {
	ranges, err := results[0].ToArray()
	if err != nil {
		return nil, err
	}
	var bySlot [16384]string
	for _, r := range ranges {
		from, to, addr, err := readRange(asked, r)
		if err != nil {
			return nil, err
		}
		for slot := from; slot <= to && slot < int64(len(bySlot)); slot++ {
			bySlot[slot] = addr
		}
	}
	out := make([]string, len(results)-1)
	for i := range out {
		slot, err := results[1+i].AsInt64()
		if err != nil || slot < 0 || slot >= int64(len(bySlot)) {
			return nil, errShape
		}
		out[i] = bySlot[slot]
	}
	return func(i int) string { return out[i] }, nil
}

// readRange reads {from, to, {host, port, ...}, ...}. An empty host means the node that
// was asked.
func readRange(asked string, r rueidis.RedisMessage) (from, to int64, addr string, err error) {
	v, err := r.ToArray()
	if err != nil || len(v) < 3 {
		return 0, 0, "", errShape
	}
	master, err := v[2].ToArray()
	if err != nil || len(master) < 2 {
		return 0, 0, "", errShape
	}
	host, err := master[0].ToString()
	if err != nil || host == "" {
		if host, _, err = net.SplitHostPort(asked); err != nil {
			return 0, 0, "", err
		}
	}
	n, err := ints([]rueidis.RedisMessage{v[0], v[1], master[1]}, 3)
	if err != nil {
		return 0, 0, "", err
	}
	return n[0], n[1], net.JoinHostPort(host, itoa(n[2])), nil
}

// relayout asks layoutLoop to look at the layout soon.
func (e *Engine) relayout() {
	select {
	case e.moved <- struct{}{}:
	default:
	}
}

func (e *Engine) layoutLoop() {
	if !e.cluster {
		return
	}
	tick := e.ticker(layoutInterval)
	defer tick.Stop()
	for known := true; ; {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		case <-e.moved:
			select { // several groups notice at the same time
			case <-e.stop:
				return
			case <-time.After(e.around(reconnectPause)):
			}
		}
		switch err := e.layOut(); {
		case err != nil && known:
			e.log.Warn("redis: the cluster's layout is not known", "error", err)
		case err == nil && !known:
			e.log.Info("redis: the cluster's layout is known again")
		default:
			continue
		}
		known = !known
	}
}

// waitLive waits until every pub/sub connection is up. When ctx ends, one is enough.
func (e *Engine) waitLive(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		live, all := 0, 0
		e.groupsMu.Lock()
		for _, g := range e.groups {
			if all++; g.isLive() {
				live++
			}
		}
		e.groupsMu.Unlock()
		if live == all {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if live > 0 {
				return nil
			}
			return errors.New("the pub/sub connection does not come up")
		}
	}
}

func (e *Engine) pokeGroups() {
	for _, g := range e.allGroups() {
		g.refuseLate()
		g.poke()
	}
}

// allGroups are the present groups. What calls a Done or waits must not hold groupsMu.
func (e *Engine) allGroups() []*group {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	return slices.Collect(maps.Values(e.groups))
}

// closeGroups ends all groups, which the caller then waits for.
func (e *Engine) closeGroups() map[string]*group {
	e.groupsMu.Lock()
	groups := e.groups
	e.groups = nil
	e.groupsMu.Unlock()
	for _, g := range groups {
		g.close()
	}
	return groups
}
