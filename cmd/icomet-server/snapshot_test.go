package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"icomet/server/servertest"
)

// snapshotConfig writes a configuration with a snapshot at the returned path.
func snapshotConfig(t *testing.T, lines ...string) (config, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "channels")
	return writeConfig(t, append(lines, fmt.Sprintf("engine.snapshot = %q", path), `limits.drain_timeout = "500ms"`, "front.channel_timeout = 3600")...), path
}

// ask makes a call of the admin port, which has to be carried out.
func (d *daemon) ask(t *testing.T, path string) string {
	t.Helper()
	return fetch(t, "http://"+d.Address("admin")+path)
}

// recovery is what a poll with this position is told.
func (d *daemon) recovery(t *testing.T, query string) string {
	t.Helper()
	return fetch(t, "http://"+d.Address("front")+"/sub?"+query)
}

// end stops the server, which has to end with this status.
func (d *daemon) end(t *testing.T, status int) {
	t.Helper()
	d.Send(syscall.SIGTERM)
	d.WaitEnd(startLimit, status)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// epochOf publishes to a channel and returns its epoch.
func (d *daemon) epochOf(t *testing.T, cname string) string {
	t.Helper()
	_, rest, found := strings.Cut(d.ask(t, "/push?content=x&position=1&cname="+cname), `"epoch":"`)
	if !found || len(rest) < 8 {
		t.Fatalf("%q has no epoch", rest)
	}
	return rest[:8]
}

// TestSnapshotComesBack: ids, tokens, the end, the position and a ring that was full are after a
// restart as before; the file is there between two servers only.
func TestSnapshotComesBack(t *testing.T) {
	t.Parallel()
	config, path := snapshotConfig(t, "front.channel_buffer_size = 3")
	d := start(t, nil, config)
	d.WaitLog("no saved channels are there", 1)
	epoch := d.epochOf(t, "a")
	for i := range 4 {
		d.ask(t, fmt.Sprintf("/push?cname=a&content=m%d&id=id%d", i, i))
	}
	d.ask(t, "/push?cname=ended&content=1")
	d.ask(t, "/end?cname=ended&content=2")
	signed := d.ask(t, "/sign?cname=signed&expires=1000")
	d.end(t, 0)
	d.WaitLog(`msg="channels saved" channels=3 messages=5 `, 1)
	if !exists(path) {
		t.Error("there is no file")
	}

	d = start(t, nil, config)
	d.WaitLog(`msg="channels loaded" path=`+path+` channels=3 messages=5 `, 1)
	if exists(path) {
		t.Error("the file is still there while the server runs")
	}
	for query, want := range map[string]string{
		"cname=a&seq=4&epoch=" + epoch:     `{"type":"data","cname":"a","seq":4,"content":"m2"}`,
		"cname=a&seq=1&epoch=" + epoch:     `"recovered":false,"lost":2,"reason":"trimmed"}`,
		"cname=a&seq=1&epoch=":             `"epoch":"` + epoch + `","recovered":true`,
		"cname=a&seq=4&epoch=12345678":     `"recovered":false,"lost":-1,"reason":"epoch"}`,
		"cname=ended&seq=2&epoch=":         `{"type":"end","cname":"ended","seq":3,"content":""}`,
		"cname=a&seq=9&epoch=" + epoch:     `"recovered":false,"lost":-1,"reason":"ahead"}`,
		"cname=signed&seq=5&last=2&epoch=": `{"type":"position","cname":"signed","seq":1,`,
	} {
		if got := d.recovery(t, query); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := d.ask(t, "/push?cname=a&content=m3&id=id3&position=1"); !strings.Contains(got, `"seq":5,"epoch":"`+epoch+`","duplicate":true`) {
		t.Errorf("the repeated id: %s", got)
	}
	if got := d.ask(t, "/sign?cname=signed&expires=1000"); got != signed {
		t.Errorf("signed %s, then %s", signed, got)
	}
	d.end(t, 0)
}

// TestSnapshotOfThisServerOnly: who was killed has left nothing, and the next claims nothing:
// neither the state before, nor that of the end.
func TestSnapshotOfThisServerOnly(t *testing.T) {
	t.Parallel()
	config, path := snapshotConfig(t)
	d := start(t, nil, config)
	epoch := d.epochOf(t, "a")
	d.end(t, 0)
	d = start(t, nil, config)
	if again := d.epochOf(t, "a"); again != epoch {
		t.Errorf("%s after a restart, was %s", again, epoch)
	}
	d.Kill()
	if exists(path) {
		t.Error("a killed server has left a file")
	}

	d = start(t, nil, config)
	if got := d.recovery(t, "cname=a&seq=2&epoch="+epoch); !strings.Contains(got, `"recovered":false,"lost":-1,"reason":"epoch"}`) {
		t.Errorf("after a kill: %s", got)
	}
	// Whose drain is cut short leaves nothing either.
	f, err := servertest.Subscribe(d.Address("front"), "stream", "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rewriteConfig(t, config, `limits.drain_delay = "1h"`, fmt.Sprintf("engine.snapshot = %q", path))
	d.Send(syscall.SIGHUP)
	d.WaitLog("configuration reloaded", 1)
	d.Send(syscall.SIGTERM)
	d.WaitLog("newcomers are still served", 1)
	d.Send(syscall.SIGTERM)
	d.WaitEnd(startLimit, 1)
	if exists(path) {
		t.Error("a drain that was cut short has left a file")
	}
}

// TestKilledWhileSaving kills the server as soon as it says that it saves: the next one has
// either everything or nothing.
func TestKilledWhileSaving(t *testing.T) {
	t.Parallel()
	const n = 20_000
	config, path := snapshotConfig(t)
	d := start(t, nil, config)
	d.fill(t, n)
	d.Send(syscall.SIGTERM)
	d.WaitLog("saving the channels", 1)
	d.Kill()
	whole, part := exists(path), exists(path+".tmp")
	t.Logf("a whole file: %v, part of one: %v", whole, part)
	d = start(t, nil, config)
	log := d.Log.String()
	switch {
	case whole && strings.Contains(log, fmt.Sprintf(`msg="channels loaded" path=%s channels=%d messages=%[2]d `, path, n)):
	case !whole && strings.Contains(log, "no saved channels are there") && part == strings.Contains(log, "was ended while it saved the channels"):
	default:
		t.Errorf("%s", log)
	}
	want := 0
	if whole {
		want = n
	}
	if got := d.ask(t, "/info"); !strings.Contains(got, fmt.Sprintf(`"channels": %d,`, want)) {
		t.Errorf("%s, want %d channels", got, want)
	}
	d.end(t, 0)
	if !exists(path) || exists(path+".tmp") {
		t.Error("the next server has not saved its channels, or left something")
	}
}

// fill publishes a message to each of n channels.
func (d *daemon) fill(t *testing.T, n int) {
	t.Helper()
	for from := 0; from < n; from += 10_000 {
		var lines bytes.Buffer
		count := min(10_000, n-from)
		for i := range count {
			fmt.Fprintf(&lines, `{"cname":"fill-%d","content":"the message of this channel"}`+"\n", from+i)
		}
		resp, err := http.Post("http://"+d.Address("admin")+"/batch", "application/x-ndjson", &lines)
		status, body, err := servertest.ReadAnswer(resp, err)
		if err != nil || status != http.StatusOK || strings.Count(body, `"type":"ok"`) != count {
			t.Fatalf("/batch: %d, %v, %.300s", status, err, body)
		}
	}
}

// TestSnapshotSetAside: a file that is damaged or of a newer version is kept aside, said in one
// line, and nothing is claimed from it.
func TestSnapshotSetAside(t *testing.T) {
	t.Parallel()
	config, path := snapshotConfig(t)
	d := start(t, nil, config)
	epoch := d.epochOf(t, "a")
	d.fill(t, 2000)
	d.end(t, 0)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(good)/2] ^= 0x10
	newer := []byte("ICOMSNAP\x02\x00\x00\x00")
	newer = binary.LittleEndian.AppendUint32(newer, crc32.Checksum(newer, crc32.MakeTable(crc32.Castagnoli)))
	for want, file := range map[string][]byte{
		"the checksum is wrong":                               flipped,
		fmt.Sprintf("the file ends at byte %d", len(good)-1):  good[:len(good)-1],
		"it is of version 2, and this server reads version 1": newer,
	} {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		d := start(t, nil, config)
		log := d.Log.String()
		if n := strings.Count(log, "level=ERROR"); n != 1 || !strings.Contains(log, `msg="the saved channels cannot be used, and the server starts without channels" path=`+path+" set_aside="+path+".bad") || !strings.Contains(log, want) {
			t.Errorf("%d errors, want one with %q:\n%s", n, want, log)
		}
		if kept, err := os.ReadFile(path + ".bad"); err != nil || !bytes.Equal(kept, file) {
			t.Errorf("what is set aside has %d bytes, %v", len(kept), err)
		}
		if got := d.ask(t, "/info"); !strings.Contains(got, `"channels": 0,`) {
			t.Errorf("%s", got)
		}
		if got := d.recovery(t, "cname=a&seq=2&epoch="+epoch); !strings.Contains(got, `"recovered":false,"lost":-1,"reason":"epoch"}`) {
			t.Errorf("%s", got)
		}
		d.end(t, 0)
	}
}

// TestSnapshotDirectory: what cannot work is said at the start and by -t, not at the end.
func TestSnapshotDirectory(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none", "channels")
	config := writeConfig(t, fmt.Sprintf("engine.snapshot = %q", none))
	want := result{1, "", "icomet-server: engine.snapshot: the directory of " + none + " must be writable: no such file or directory\n"}
	for _, args := range [][]string{{config}, {"-t", config}} {
		if got := runToEnd(t, nil, args...); got != want {
			t.Errorf("%v:\n got %+v\nwant %+v", args, got, want)
		}
	}
	config, path := snapshotConfig(t)
	d := start(t, nil, config)
	if got := runToEnd(t, nil, "-t", config); got != (result{0, "configuration ok\n", ""}) {
		t.Errorf("-t beside the running server: %+v", got)
	}
	want = result{1, "", "icomet-server: engine.snapshot: " + path + " is in use by another server, or one that has not ended yet\n"}
	if got := runToEnd(t, nil, config); got != want {
		t.Errorf("a second server:\n got %+v\nwant %+v", got, want)
	}
	d.epochOf(t, "a")
	d.end(t, 0)

	// Who cannot have its port leaves the file to who can.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := runToEnd(t, []string{"ICOMET_FRONT_LISTEN=" + l.Addr().String()}, config); got.status != 1 || !strings.Contains(got.stderr, "address already in use") {
		t.Errorf("on a port that is taken: %+v", got)
	}
	start(t, nil, config).WaitLog(`msg="channels loaded" path=`+path+" channels=1 ", 1)
}

// TestSnapshotOnFullDisk: a server that cannot save says so, with its status too.
func TestSnapshotOnFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("icomet-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("no small disk can be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "channels")
	config := writeConfig(t, fmt.Sprintf("engine.snapshot = %q", path), `limits.drain_timeout = "100ms"`)
	d := start(t, nil, config)
	d.fill(t, 5000)
	d.end(t, 1)
	if log := d.Log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "engine.snapshot: the channels are not saved: write "+path+".tmp: no space left on device") {
		t.Errorf("%s", log)
	}
	if exists(path) || exists(path+".tmp") {
		t.Error("something is left of it")
	}
	d = start(t, nil, config)
	d.WaitLog("no saved channels are there", 1)
	d.epochOf(t, "a")
	d.end(t, 0)
}

// TestSnapshotByRestart: "-s restart" waits until the channels are saved.
func TestSnapshotByRestart(t *testing.T) {
	t.Parallel()
	pidfile := filepath.Join(t.TempDir(), "pid")
	config, path := snapshotConfig(t, fmt.Sprintf("pidfile = %q", pidfile))
	old := start(t, nil, config)
	old.fill(t, 10_000)
	next := start(t, nil, "-s", "restart", config)
	next.WaitLog(`msg="channels loaded" path=`+path+" channels=10000 messages=10000 ", 1)
	old.WaitEnd(startLimit, 0)
}
