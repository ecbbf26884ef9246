package continuity

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/server/servertest"
)

const (
	followersOfChannel = 20
	followedBuffer     = 20
	lastContent        = "the last one"
)

var followerKinds = []string{"stream", "sse", "poll", "iframe", "rawsse"}

// scene is what happens to a server under load, and what is true about it.
type scene struct {
	server   *servertest.Server
	admin    *http.Client
	channels []string
	acked    []atomic.Int64 // messages of each channel, of all lives
	stop     chan struct{}  // closed when nothing more is published

	mu    sync.Mutex
	texts map[string]map[position]string // what message that is, by channel
	top   map[string]map[string]int64    // the highest seq of a life, by channel and epoch
}

// breathe is the pause of somebody who tries again.
func (s *scene) breathe() { time.Sleep(5 * time.Millisecond) }

// see notes what a message is; all who see it have to see the same.
func (s *scene) see(cname string, at position, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts[cname] == nil {
		s.texts[cname], s.top[cname] = map[position]string{}, map[string]int64{}
	}
	if known, there := s.texts[cname][at]; there && known != text {
		return fmt.Errorf("%s has two messages %+v: %q and %q", cname, at, known, text)
	}
	s.texts[cname][at] = text
	s.top[cname][at.epoch] = max(s.top[cname][at.epoch], at.next)
	return nil
}

func (s *scene) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// stayAway keeps a client away for some messages, of which some are then no longer stored.
func (s *scene) stayAway(f *follower) {
	i := slices.Index(s.channels, f.cname)
	until := s.acked[i].Load() + int64([]int{0, 0, 3, followedBuffer, 2 * followedBuffer}[f.rand.IntN(5)])
	for s.acked[i].Load() < until && !s.stopping() {
		s.breathe()
	}
}

// publish publishes to the channels in turn until the scene stops. What got no answer is
// repeated with its id.
func (s *scene) publish(name string) error {
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for n := 0; !s.stopping(); n++ {
		<-pace.C
		if err := s.push(n%len(s.channels), fmt.Sprintf("%s-%d", name, n)); err != nil {
			return err
		}
	}
	return nil
}

// push publishes until the answer is there.
func (s *scene) push(i int, text string) error {
	cname := s.channels[i]
	form := url.Values{"cname": {cname}, "content": {text}, "id": {text}, "position": {"1"}}
	for deadline := time.Now().Add(patience); ; s.breathe() {
		status, body, err := servertest.ReadAnswer(s.admin.PostForm(s.server.Admin+"/push", form))
		if err != nil || status == 503 {
			if time.Now().After(deadline) {
				return fmt.Errorf("publish of %s: %d %s %w", text, status, body, err)
			}
			continue
		}
		var a positionAnswer
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 || a.Cname != cname {
			return fmt.Errorf("publish of %s: %d %q", text, status, body)
		}
		s.acked[i].Add(1)
		return s.see(cname, position{a.Epoch, a.Seq}, text)
	}
}

// judge compares what a client has concluded with what is true. kills is how many lives
// have been lost.
func (s *scene) judge(f *follower, kills int) error {
	unknown := 0
	for _, c := range f.claims {
		trimmed := c.after.next-1 <= s.top[f.cname][c.after.epoch]-followedBuffer // so much is no longer stored
		ok := false
		switch {
		case c.lost == -1:
			unknown++
			ok = c.before.epoch != c.after.epoch && (c.after.next == 1 || trimmed)
		case c.lost == 0:
			ok = c.before == c.after
		default:
			ok = c.lost > 0 && c.before.epoch == c.after.epoch && c.after.next-c.before.next == c.lost && trimmed
		}
		if !ok {
			return fmt.Errorf("%s of %s concludes what is not true: %+v", f.kind, f.cname, c)
		}
	}
	if unknown != kills {
		return fmt.Errorf("%s of %s says %d times that it may have missed something, want %d: %+v", f.kind, f.cname, unknown, kills, f.claims)
	}
	if f.next != s.top[f.cname][f.epoch]+1 {
		return fmt.Errorf("%s of %s is at %+v, the last message is %d", f.kind, f.cname, f.position, s.top[f.cname][f.epoch])
	}
	return nil
}

// once checks that no text was published twice in one life, although its publisher
// repeated it.
func (s *scene) once() error {
	for cname, texts := range s.texts {
		seen := map[string]int64{}
		for at, text := range texts {
			if other, twice := seen[at.epoch+text]; twice {
				return fmt.Errorf("%s has %q as %s-%d and %d", cname, text, at.epoch, at.next, other)
			}
			seen[at.epoch+text] = at.next
		}
	}
	return nil
}

// TestKilledUnderLoad: a server is killed under load, and started; drained, and started.
// Every client of five kinds can tell what it has missed, or that this cannot be known, and
// it is true. make torture has 1,000 clients.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	clients := 200
	if os.Getenv("ICOMET_TORTURE") == "full" {
		clients = 1000
	}
	transport := servertest.Transport()
	transport.MaxIdleConnsPerHost = 8
	s := &scene{
		admin: &http.Client{Timeout: patience, Transport: transport},
		acked: make([]atomic.Int64, clients/followersOfChannel), stop: make(chan struct{}),
		texts: map[string]map[position]string{}, top: map[string]map[string]int64{},
	}
	t.Cleanup(s.admin.CloseIdleConnections)
	s.server = servertest.Start(t, "ICOMET_ENGINE_SNAPSHOT="+filepath.Join(t.TempDir(), "snapshot"), "ICOMET_LOGGER_LEVEL=info",
		fmt.Sprint("ICOMET_FRONT_CHANNEL_BUFFER_SIZE=", followedBuffer), "ICOMET_FRONT_POLLING_TIMEOUT=3600", "ICOMET_FRONT_CHANNEL_TIMEOUT=3600")
	for i := range s.acked {
		s.channels = append(s.channels, fmt.Sprint("load-", i))
		if err := s.push(i, "first"); err != nil {
			t.Fatal(err)
		}
	}
	followers, wait := s.begin(t, clients)
	kills := 0
	for _, signal := range []string{"kill", "term", "kill"} {
		s.more(t, 80)
		if signal == "kill" {
			kills++
			s.server.Kill()
		} else {
			s.server.Stop()
		}
		s.server.Restart()
	}
	s.more(t, 80)
	close(s.stop)
	wait()
	for i, f := range followers {
		if err := s.judge(f, kills); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
	if err := s.once(); err != nil {
		t.Error(err)
	}
	s.count(t, followers)
}

// count fails when the scene was too tame to show anything.
func (s *scene) count(t *testing.T, followers []*follower) {
	recovered, trimmed := map[string]int{}, map[string]int{}
	for _, f := range followers {
		for _, c := range f.claims {
			switch {
			case c.lost == 0:
				recovered[f.kind]++
			case c.lost > 0:
				trimmed[f.kind]++
			}
		}
	}
	t.Logf("recovered %v, with a known loss %v", recovered, trimmed)
	for _, kind := range followerKinds {
		if recovered[kind] == 0 || trimmed[kind] == 0 {
			t.Errorf("no %s was ever recovered, or none ever missed anything", kind)
		}
	}
}

// more waits until that many more messages have been published to each channel, on
// average, and so every client has got some.
func (s *scene) more(t *testing.T, messages int64) {
	t.Helper()
	sum := func() (n int64) {
		for i := range s.acked {
			n += s.acked[i].Load()
		}
		return n / int64(len(s.acked))
	}
	want := sum() + messages
	servertest.CheckFor(t, 2*patience, func() error {
		if n := sum(); n < want {
			return fmt.Errorf("%d messages of each channel, want %d", n, want)
		}
		return nil
	})
}

// begin starts publishers and clients. wait, when the scene stops, ends the channels and
// waits until all have come to the end.
func (s *scene) begin(t *testing.T, clients int) (followers []*follower, wait func()) {
	var publishers, all sync.WaitGroup
	for i := range 4 {
		publishers.Go(func() {
			if err := s.publish(fmt.Sprint("p", i)); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range clients {
		f := &follower{
			s: s, kind: followerKinds[i%len(followerKinds)], cname: s.channels[i/followersOfChannel], addr: servertest.HostPort(s.server.Front),
			rand: rand.New(rand.NewPCG(uint64(i), 0)),
		}
		followers = append(followers, f)
		all.Go(func() {
			if err := f.follow(); err != nil {
				t.Error(err)
			}
		})
	}
	return followers, func() {
		publishers.Wait()
		for _, cname := range s.channels {
			s.server.Call("/end", "cname", cname, "content", lastContent)
		}
		all.Wait()
	}
}
