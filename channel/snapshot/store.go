package snapshot

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"icomet/channel"
)

// Store is the file of one server. Its methods are not concurrency-safe.
type Store struct {
	path string
	lock *os.File
	// Unfinished says that a server was killed while it wrote the file. What it had written
	// is of no use and has been removed.
	Unfinished bool
}

// Beside the file at PATH there are for some time:
const (
	suffixNew  = ".tmp"  // what is being written
	suffixBad  = ".bad"  // one that was damaged
	suffixLock = ".lock" // always: the process that uses the file holds a lock of it
)

// Check says what is wrong with the path, as far as can be told without changing anything: the
// directory has to be there and writable.
func Check(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		err = checkFile(path, info)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".icomet-check-*")
	if err != nil {
		return fmt.Errorf("the directory of %s must be writable: %w", path, words(err))
	}
	f.Close()
	return os.Remove(f.Name())
}

// checkFile wants a file that nobody else can have written: it has tokens, and who could
// write it could subscribe to anything.
func checkFile(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s has mode %04o, which lets others than its owner write to it: chmod 600", path, mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: it must be the server's user or root", path, st.Uid)
	}
	return nil
}

// words leaves out the path, which the message already has.
func words(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// Open takes the file at path for this process, until Close. It need not exist.
func Open(path string) (*Store, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path+suffixLock, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another server, or one that has not ended yet", path)
		}
		return nil, fmt.Errorf("flock %s%s: %w", path, suffixLock, err)
	}
	s := &Store{path: path, lock: lock}
	err = os.Remove(path + suffixNew)
	switch {
	case err == nil:
		s.Unfinished = true
	case !errors.Is(err, fs.ErrNotExist):
		lock.Close()
		return nil, err
	}
	return s, nil
}

// Close gives the file up.
func (s *Store) Close() { s.lock.Close() }

// Loaded is what Load has found.
type Loaded struct {
	Counts               // in the file
	Taken  time.Time     // when it was written; zero: there is no file
	Away   time.Duration // since then, by the wall clock; never negative
	// ClockBack is how far the clock is behind Taken. Then Away is 0, and lives are longer by
	// the time between.
	ClockBack time.Duration
	Restored  Counts // what the hub has of it
	// What it has not:
	Expired int // channels whose life was over
	TooMany int // channels above Limits.MaxChannels
	Trimmed int // messages of restored channels that their class does not keep
}

// SetAsideError says that the file is damaged, or of another version, and is at Aside now.
type SetAsideError struct {
	Path, Aside string
	Damage      *Damage
}

func (e *SetAsideError) Error() string {
	return fmt.Sprintf("%s: %v; it is set aside as %s", e.Path, e.Damage, e.Aside)
}

// Load fills a new hub with the channels of the file, if there is one, as far as its limits
// allow. Wall clock is now. The file stays: Remove has to follow before the server listens.
// After an error the hub must not be used; a *SetAsideError then means that the server can
// start with another, empty one.
func (s *Store) Load(hub *channel.Hub, now time.Time) (Loaded, error) {
	f, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Loaded{}, nil
	}
	if err != nil {
		return Loaded{}, err
	}
	defer f.Close()
	info, err := f.Stat() // of what is open, not of what has the name by now
	if err == nil {
		err = checkFile(s.path, info)
	}
	if err != nil {
		return Loaded{}, err
	}
	var l Loaded
	begin := func(p preamble) {
		away := now.Sub(p.taken)
		l.Taken, l.Away, l.ClockBack = p.taken, max(0, away), max(0, -away)
		hub.Resume(p.lives, l.Away)
	}
	restore := func(c *channel.State) error {
		dropped, err := hub.Restore(c)
		switch {
		case errors.Is(err, channel.ErrExpired):
			l.Expired++
		case errors.Is(err, channel.ErrTooManyChannels):
			l.TooMany++
		case err != nil:
			return err
		default:
			l.Trimmed += dropped
			l.Restored.add(&channel.State{Messages: c.Messages[dropped:]})
		}
		return nil
	}
	l.Counts, err = decode(bufio.NewReaderSize(f, 1<<20), info.Size(), begin, restore)
	if err == nil {
		return l, nil
	}
	damage, ok := errors.AsType[*Damage](err)
	if !ok {
		damage = &Damage{What: "it cannot be read: " + words(err).Error()}
	}
	aside := s.path + suffixBad
	if err := os.Rename(s.path, aside); err != nil {
		return Loaded{}, err
	}
	return Loaded{}, &SetAsideError{s.path, aside, damage}
}

// Remove takes the file away, for certain: a server that crashes later must not find it.
func (s *Store) Remove() error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.syncDirectory()
}

// Saved is what Save has written.
type Saved struct {
	Counts
	Size int64 // of the file
}

// Save writes all channels of the hub, which nothing may change meanwhile. Wall clock is now.
// What is written has the file's name only when it is whole and on the disk.
func (s *Store) Save(hub *channel.Hub, now time.Time) (saved Saved, err error) {
	temporary := s.path + suffixNew
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Saved{}, err
	}
	saved, err = write(f, hub, now)
	if err == nil {
		err = os.Rename(temporary, s.path)
	}
	if err != nil {
		return Saved{}, errors.Join(err, os.Remove(temporary))
	}
	return saved, s.syncDirectory()
}

func write(f *os.File, hub *channel.Hub, now time.Time) (saved Saved, err error) {
	saved.Counts, saved.Size, err = encode(f, preamble{now, hub.Lives()}, hub.States)
	if err == nil {
		err = f.Sync()
	}
	if again := f.Close(); err == nil {
		err = again
	}
	return saved, err
}

func (s *Store) syncDirectory() error {
	d, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
