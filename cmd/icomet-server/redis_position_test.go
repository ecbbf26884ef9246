package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"icomet/server/servertest"
)

// place is what an answer or a message says of where it is.
type place struct {
	Type      string `json:"type"`
	Seq       int64  `json:"seq"`
	Epoch     string `json:"epoch"`
	Duplicate bool   `json:"duplicate"`
	Content   string `json:"content"`
	Recovered bool   `json:"recovered"`
	Lost      int64  `json:"lost"`
	Reason    string `json:"reason"`
}

// publish makes a call that answers with a place.
func (d *daemon) publish(t *testing.T, path string, wantStatus int) (p place) {
	t.Helper()
	status, body := d.call(t, path)
	if err := json.Unmarshal([]byte(body), &p); err != nil || status != wantStatus {
		t.Fatalf("%s: %d %q (%v)", path, status, body, err)
	}
	return p
}

// poll asks with a position, and returns all that the answer has.
func (d *daemon) poll(t *testing.T, query string) (list []place) {
	t.Helper()
	_, body, err := servertest.ReadAnswer(redisClient.Get("http://" + d.Address("front") + "/sub?" + query))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(body, "[") {
		body = "[" + body + "]"
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("%s: %q (%v)", query, body, err)
	}
	return list
}

// TestPositionsOfThreeNodes: a position holds on all nodes; so do ids, if_seq and the end.
func TestPositionsOfThreeNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, patient)
	a, b := c.nodes[0], c.nodes[1]
	first := a.publish(t, "/push?cname=c&content=1&id=one&position=1", 200)
	if again := b.publish(t, "/push?cname=c&content=1&id=one&position=1", 200); !again.Duplicate || again.Seq != 1 || again.Epoch != first.Epoch {
		t.Errorf("repeated on another node: %+v, the first time %+v", again, first)
	}
	b.publish(t, "/push?cname=c&content=2&if_seq=2&epoch="+first.Epoch, 200)
	if p := a.publish(t, "/push?cname=c&content=x&if_seq=2", 409); p.Seq != 3 || p.Epoch != first.Epoch {
		t.Errorf("if_seq: %+v", p)
	}
	for range 2 { // as if the first answer had not come
		for _, d := range c.nodes {
			d.want(t, "/broadcast?content=all&id=all", "ok")
		}
	}
	for i, d := range c.nodes {
		got := d.poll(t, "cname=c&seq=2&epoch="+first.Epoch)
		if len(got) != 3 || got[0].Content != "2" || got[1].Content != "all" || got[2].Type != "next_seq" || got[2].Seq != 4 {
			t.Errorf("node %d: %+v", i, got)
		}
		got = d.poll(t, "cname=c&seq=1&epoch=0badc0de")
		if len(got) != 5 || got[0].Type != "position" || got[0].Recovered || got[0].Lost != -1 || got[0].Reason != "epoch" || got[0].Epoch != first.Epoch {
			t.Errorf("node %d, with a foreign epoch: %+v", i, got)
		}
	}
	a.want(t, "/end?cname=c&content=last", "ok 5")
	b.publish(t, "/push?cname=c&content=x", 409)
	for i, d := range c.nodes {
		if got := d.poll(t, "cname=c&seq=4&epoch="+first.Epoch); len(got) != 2 || got[0].Content != "last" || got[1].Type != "end" {
			t.Errorf("node %d, at the end: %+v", i, got)
		}
	}
}

// TestPositionThroughFlushAll: a subscriber that stays connected is told its new position,
// and who comes back that nobody can know what it misses.
func TestPositionThroughFlushAll(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, patient)
	old := c.nodes[0].publish(t, "/push?cname=c&content=old&position=1", 200)
	resp, err := redisClient.Get("http://" + c.nodes[1].Address("front") + "/stream?cname=c&seq=1&epoch=" + old.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) (p place) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the stream ends (%v), want %s", lines.Err(), want)
		}
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil || fmt.Sprint(p.Type, " ", p.Content) != want {
			t.Fatalf("%s (%v), want %s", lines.Bytes(), err, want)
		}
		return p
	}
	next("position ")
	next("data old")
	c.redis.CLI("flushall")
	young := c.nodes[0].publish(t, "/push?cname=c&content=new&position=1", 200)
	if p := next("position "); p.Epoch != young.Epoch || p.Epoch == old.Epoch || p.Recovered || p.Lost != -1 || p.Reason != "epoch" || p.Seq != 1 {
		t.Errorf("%+v, the new message is at %+v", p, young)
	}
	next("data new")
	if got := c.nodes[0].poll(t, "cname=c&seq=2&epoch="+old.Epoch); len(got) != 2 || got[0].Lost != -1 || got[0].Recovered || got[1].Content != "new" {
		t.Errorf("who comes back is told %+v", got)
	}
}
