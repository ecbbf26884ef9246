package secure

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// maxFile is the largest file that is read, in bytes. All public authorities together are a
// fifth of it.
const maxFile = 1 << 20

// rule is what is asked of a file beside its content.
type rule uint8

const (
	public  rule = iota // a certificate: it is worth nothing without its key
	trusted             // authorities of clients: nobody else may add one
	secret              // a private key: nobody else may read it either
)

// check judges who owns the file and who may do what with it. The group may read a key,
// since platforms mount secrets so.
func (r rule) check(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	if r == public {
		return nil
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o022 != 0:
		return fmt.Errorf("has mode %04o, which lets others than its owner write to it: chmod 640", mode)
	case r == secret && mode&0o004 != 0:
		return fmt.Errorf("has mode %04o, which lets every user of the machine read the private key: chmod 640", mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to user %d: it must be the server's user or root", st.Uid)
	}
	return nil
}

// readFile reads a file that follows the rule. A pipe or a device in its place is not
// waited for.
func readFile(path string, r rule) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat() // of what is open, not of what has the name by now
	if err == nil {
		err = r.check(info)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: is larger than 1 MiB", path)
	}
	return data, nil
}

// certificateBlocks returns the contents of the PEM blocks that are certificates.
func certificateBlocks(data []byte) (ders [][]byte) {
	for block := (*pem.Block)(nil); ; {
		if block, data = pem.Decode(data); block == nil {
			return ders
		}
		if block.Type == "CERTIFICATE" {
			ders = append(ders, block.Bytes)
		}
	}
}

// checkKey says what keeps the first private key of a PEM file from being used, as far as
// its block shows.
func checkKey(data []byte) error {
	for block := (*pem.Block)(nil); ; {
		if block, data = pem.Decode(data); block == nil {
			return errors.New("there is no private key in it (PEM, BEGIN PRIVATE KEY)")
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return errors.New("the private key is encrypted, and nobody is there to type its passphrase")
		}
		return nil
	}
}
