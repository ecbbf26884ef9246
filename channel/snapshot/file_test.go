package snapshot

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"icomet/channel"
)

var update = flag.Bool("update", false, "write testdata/v1.snapshot anew")

const golden = "testdata/v1.snapshot"

// goldenStates are what the golden file has.
func goldenStates() []channel.State {
	return []channel.State{
		{Name: "a", Epoch: 0x9f86d081, Next: 1, Left: 30 * time.Second},
		{
			Name: "ü", Epoch: 1, Next: 1 << 40, Ended: true, Token: "0123456789abcdef0123456789abcdef", Left: 720 * time.Hour,
			Messages: []channel.Message{
				{Seq: 1<<40 - 3, Content: `a \"message\"`, At: 700},
				{Seq: 1<<40 - 2, Content: "a broadcast to everybody", Type: channel.Broadcast, At: 5},
				{Seq: 1<<40 - 1, Content: "", At: 0},
			},
			IDs: []channel.MessageID{{ID: "first", Seq: 7}, {ID: strings.Repeat("~", 64), Seq: 1<<40 - 1}},
		},
		{
			Name: strings.Repeat("n", channel.MaxName), Epoch: 0xffffffff, Next: 3, Left: time.Millisecond,
			Messages: []channel.Message{
				{Seq: 1, Content: "short", Type: channel.Broadcast, At: 300},
				{Seq: 2, Content: "a broadcast to everybody", Type: channel.Broadcast, At: 4},
			},
		},
	}
}

// TestGolden: the format does not change by mistake, in either direction.
func TestGolden(t *testing.T) {
	want := goldenStates()
	taken := time.Unix(1_800_000_000, 123456789)
	lives := channel.Lives{Salt: 0x01020304, Count: 0xfffefdfc}
	var b bytes.Buffer
	_, _, err := encode(&b, preamble{taken, lives}, func(visit func(*channel.State) error) error {
		for i := range want {
			if err := visit(&want[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(file, b.Bytes()) {
		t.Fatalf("%v: %q is written, the golden file has %q", err, b.Bytes(), file)
	}
	var got []channel.State
	_, err = decode(bytes.NewReader(file), int64(len(file)), func(p preamble) {
		if !p.taken.Equal(taken) || p.lives != lives {
			t.Errorf("%+v", p)
		}
	}, func(s *channel.State) error {
		c := *s
		c.Messages = append([]channel.Message(nil), s.Messages...)
		c.IDs = append([]channel.MessageID(nil), s.IDs...)
		got = append(got, c)
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
}

// TestPaths: what cannot work is said at the start, and by a check of the configuration.
func TestPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	loose, pipe := filepath.Join(dir, "loose"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(loose, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(loose, 0o666), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{
		filepath.Join(dir, "none", "file"): "the directory of " + filepath.Join(dir, "none", "file") + " must be writable: no such file or directory",
		"/proc/icomet":                     "the directory of /proc/icomet must be writable: ",
		loose + "/file":                    "not a directory",
		dir:                                dir + " is not a regular file",
		pipe:                               pipe + " is not a regular file",
		loose:                              loose + " has mode 0666, which lets others than its owner write to it: chmod 600",
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(dir, "foreign")
		if err := errors.Join(os.WriteFile(foreign, nil, 0o600), os.Chown(foreign, 12345, 0)); err != nil {
			t.Fatal(err)
		}
		paths[foreign] = foreign + " belongs to user 12345: it must be the server's user or root"
	}
	for path, want := range paths {
		if err := Check(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %s: %v, want %q", path, err, want)
		}
	}
	fine := t.TempDir()
	if err := Check(filepath.Join(fine, "file")); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(fine); len(left) > 0 {
		t.Errorf("the check has left %v", left)
	}
}

// TestOneServer: two processes never use one file, also while the first writes it.
func TestOneServer(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, err := Open(s.path); err == nil || !strings.Contains(err.Error(), "is in use by another server, or one that has not ended yet") {
		t.Error(err)
	}
	if err := Check(s.path); err != nil {
		t.Errorf("a check beside the server: %v", err)
	}
	s.Close()
	again, err := Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// The tests below have Save run in a process of its own.
const (
	helperPath  = "ICOMET_TEST_SNAPSHOT"
	helperStep  = "ICOMET_TEST_STEP"
	largeFile   = 3 << 20 // bytes, more than what the helper is allowed or has written
	helperLimit = 1 << 20
)

// largeHub has channels with more than largeFile bytes.
func largeHub(t testing.TB) *channel.Hub {
	t.Helper()
	hub := channel.NewHub(limits())
	for i := range 1000 {
		publish(t, hub, channel.Publication{Name: fmt.Append(nil, i), Content: strings.Repeat("x", largeFile/1000)})
	}
	return hub
}

// TestHelper is the other process.
func TestHelper(t *testing.T) {
	path := os.Getenv(helperPath)
	if path == "" {
		return // it is this process only when the tests below start it
	}
	hub := largeHub(t)
	if os.Getenv(helperStep) == "limit" {
		limit := syscall.Rlimit{Cur: helperLimit, Max: helperLimit}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Save(hub, time.Now()); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("save: %v", err)
		}
		return
	}
	f, err := os.OpenFile(path+suffixNew, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	_, _, err = encode(f, preamble{time.Now(), hub.Lives()}, func(visit func(*channel.State) error) error {
		return hub.States(func(s *channel.State) error {
			if n++; n == 500 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return visit(s)
		})
	})
	t.Error("it should have been killed: ", err)
}

func helper(t *testing.T, path, step string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelper$", "-test.v")
	cmd.Env = append(os.Environ(), helperPath+"="+path, helperStep+"="+step)
	return cmd
}

// TestKilledWhileWriting: what a killed server has left is no file. The next one says so,
// starts empty, and writes its own.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "channels")
	out, err := helper(t, path, "kill").CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%v\n%s", err, out)
	}
	if info, err := os.Stat(path + suffixNew); err != nil || info.Size() < maxBlock {
		t.Fatalf("%v, %v", info, err)
	}
	s, err := Open(path)
	if err != nil || !s.Unfinished {
		t.Fatalf("%+v, %v", s, err)
	}
	defer s.Close()
	hub := channel.NewHub(limits())
	if l, err := s.Load(hub, time.Now()); err != nil || !l.Taken.IsZero() || hub.Channels() != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	if saved, err := s.Save(largeHub(t), time.Now()); err != nil || saved.Size < largeFile {
		t.Errorf("%+v, %v", saved, err)
	}
}

// wantNothingLeft wants no file but the lock.
func wantNothingLeft(t *testing.T, path string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(path)+suffixLock {
		t.Errorf("%v, %v", left, err)
	}
}

// TestFullDisk: a file that does not fit is an error, and nothing of it stays.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "channels")
	if out, err := helper(t, path, "limit").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wantNothingLeft(t, path)

	dir := t.TempDir()
	if err := syscall.Mount("icomet-test", dir, "tmpfs", 0, fmt.Sprint("size=", helperLimit)); err != nil {
		t.Skip("no small disk can be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(filepath.Join(dir, "channels"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Save(largeHub(t), time.Now()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("save: %v", err)
	}
	wantNothingLeft(t, s.path)
}
