//go:build linux

package target

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"icomet/internal/selfsigned"
)

// secure makes what the target needs for TLS. authorities is the PEM of those to trust.
// cleanup removes the files, when the servers have started.
func (t *Target) secure() (authorities string, cleanup func(), err error) {
	nothing := func() {}
	switch {
	case !t.TLS && t.CA != "":
		return "", nil, errors.New("authorities are for TLS only")
	case !t.TLS:
		return "", nothing, nil
	case t.Command == "" && t.CA == "":
		return "", nothing, nil
	case t.Command == "":
		text, err := os.ReadFile(t.CA)
		return string(text), nothing, err
	case t.Command == Ceiling || t.Command == Nchan:
		return "", nil, fmt.Errorf("%s is started without TLS", t.Command)
	case t.CA != "":
		return "", nil, errors.New("a server that is started gets a certificate of its own: the authorities are those of one that runs already")
	}
	dir, err := os.MkdirTemp("", "icomet-bench-")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	authorities, files, err := certificate(dir)
	if err != nil {
		cleanup()
		return "", nil, err
	}
	t.Env = append(slices.Clone(t.Env), "ICOMET_FRONT_TLS_CERTIFICATES="+files)
	return authorities, cleanup, nil
}

// certificate makes one for this machine's own address.
func certificate(dir string) (authorities, files string, err error) {
	a, err := selfsigned.New("icomet-bench")
	if err != nil {
		return "", "", err
	}
	pair, err := a.Server("127.0.0.1")
	if err != nil {
		return "", "", err
	}
	cert, key, err := pair.Write(dir, "server")
	return string(a.PEM()), cert + ":" + key, err
}
