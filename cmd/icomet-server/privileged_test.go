package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestPrivilegedPort: an ordinary user who asks for port 80 is told what it takes.
func TestPrivilegedPort(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become an ordinary user")
	}
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if first, err2 := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && err2 == nil && first <= 80 {
		t.Skip("here everybody may have port 80")
	}
	cmd := command(t, []string{"ICOMET_FRONT_LISTEN=127.0.0.1:80", "ICOMET_ADMIN_LISTEN=127.0.0.1:0"})
	cmd.Path = publicCopy(t, cmd.Path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out bytes.Buffer
	cmd.Stderr = &out
	err = cmd.Run()
	if err == nil || !strings.Contains(out.String(), "front.listen 127.0.0.1:80: ") || !strings.Contains(out.String(), "CAP_NET_BIND_SERVICE") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// publicCopy copies a program to where every user may run it.
func publicCopy(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "icomet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(dir+"/server", data, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/server"
}
