package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A running server holds a record lock (fcntl) on its pidfile until the process ends.
// Only the lock shows that it runs, and the kernel tells who holds it; the number in the
// file is for people and scripts. So a file that is left over, or whose number belongs to
// another process by now, neither prevents a start nor gets a wrong process signalled.
// Unlike flock(2), a record lock can be examined without taking it, and names its holder.
// It would be lost if this process closed the file through another descriptor, so nothing
// here opens it twice.

// pidfile is the file that this process holds; nil if none is configured.
type pidfile struct {
	path string
	file *os.File
}

// maxPidfile is larger than any pidfile, in bytes.
const maxPidfile = 32

// takePidfile locks the file, creating it if needed, and writes the process id.
func takePidfile(path string) (*pidfile, error) {
	if path == "" {
		return nil, nil
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		p := &pidfile{path: path, file: f}
		err = p.take()
		if err == nil && p.current() {
			return p, nil
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		// Its last holder has removed it between open and lock.
	}
}

func (p *pidfile) take() error {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(p.file.Fd(), unix.F_SETLK, &lock)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EAGAIN) {
		holder, err := lockHolder(p.file)
		if err != nil {
			return err
		}
		return fmt.Errorf("a server is running with it, process %d", holder)
	}
	if err != nil {
		return fmt.Errorf("cannot be locked: %w", err)
	}
	if err := p.checkContent(); err != nil {
		return err
	}
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err = p.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// checkContent keeps a file from being overwritten whose path was configured by mistake.
func (p *pidfile) checkContent() error {
	content, err := io.ReadAll(io.LimitReader(p.file, maxPidfile+1))
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(content))
	if _, err := strconv.ParseUint(text, 10, 32); text != "" && err != nil || len(content) > maxPidfile {
		return errors.New("holds something else than a process id, so it is left alone")
	}
	return nil
}

// current reports whether the path still names the file that is held.
func (p *pidfile) current() bool {
	held, err := p.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(p.path)
	return err == nil && os.SameFile(held, there)
}

// remove deletes the file. The lock stays until the process ends.
func (p *pidfile) remove() {
	if p != nil && p.current() {
		os.Remove(p.path)
	}
}

// lockHolder asks the kernel which process holds the lock; 0 if none does.
func lockHolder(f *os.File) (pid int, err error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, err
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	if lock.Pid <= 0 {
		return 0, errors.New("a server is running with it, but out of sight (another container?)")
	}
	return int(lock.Pid), nil
}
