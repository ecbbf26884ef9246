package packaging

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"icomet/internal/version"
	"icomet/server/servertest"
)

// checkout is a copy of the working tree, with what is not committed.
func checkout(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkout")
	run(t, "git", "clone", "-q", "..", dir)
	run(t, "bash", "-ec", `cd .. && git ls-files -coz --exclude-standard | tar -c --null -T - -f - --ignore-failed-read | tar -x -C "$0"`, dir)
	return dir
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// build builds the packages of a checkout, and returns their folder.
func build(t *testing.T, checkout string) string {
	t.Helper()
	dist := filepath.Join(t.TempDir(), "dist")
	run(t, filepath.Join(checkout, "packaging/build"), dist)
	return dist
}

// TestPackages builds everything twice, at different places, and uses it as people do.
func TestPackages(t *testing.T) {
	if os.Getenv("ICOMET_PACKAGES") != "full" {
		t.Skip("make package-test runs it")
	}
	if os.Getuid() != 0 {
		t.Fatal("the installation needs root")
	}
	tree := checkout(t)
	dist := build(t, tree)
	t.Run("Reproducible", func(t *testing.T) {
		// A copy, because the tree that is tested may have changed since.
		elsewhere := filepath.Join(t.TempDir(), "another", "place")
		run(t, "sh", "-ec", `mkdir -p "$1" && cp -R "$0/." "$1/"`, tree, elsewhere)
		first, second := read(t, dist+"/SHA256SUMS"), read(t, build(t, elsewhere)+"/SHA256SUMS")
		if first != second {
			t.Errorf("two builds differ:\n%s\n%s", first, second)
		}
		if n := strings.Count(first, "\n"); n != 8 {
			t.Errorf("%d files, want .deb, .rpm, .tar.gz and .spdx.json for two architectures:\n%s", n, first)
		}
		run(t, "sh", "-ec", `cd "$0" && sha256sum -c --strict SHA256SUMS`, dist)
	})
	t.Run("Deb", func(t *testing.T) { testDeb(t, dist) })
	t.Run("Install", func(t *testing.T) {
		testInstall(t, filepath.Join(dist, debName))
	})
	root := debian(t, dist)
	if runtime.GOARCH == "amd64" { // the kernel of run-in-vm is for no other
		t.Run("VirtualMachine", func(t *testing.T) { testVM(t, root) })
	}
	t.Run("Systemd", func(t *testing.T) { boot(t, root).administrate() })
	t.Run("Image", func(t *testing.T) { testImage(t, dist) })
	t.Run("RPM", func(t *testing.T) { testRPM(t, dist) })
	t.Run("SBOM", func(t *testing.T) { testSBOM(t, dist) })
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run("Archive/"+arch, func(t *testing.T) { testArchive(t, dist, arch) })
	}
}

// installed are files of both kinds of packages, with their modes.
var installed = map[string]string{
	"/usr/bin/icomet-server": "-rwxr-xr-x", "/usr/bin/icomet": "-rwxr-xr-x", "/usr/bin/icomet-bench": "-rwxr-xr-x",
	"/etc/icomet/config.toml": "-rw-r--r--", "/etc/logrotate.d/icomet": "-rw-r--r--",
	"/usr/lib/systemd/system/icomet.service": "-rw-r--r--", "/usr/lib/sysusers.d/icomet.conf": "-rw-r--r--",
	"/usr/share/doc/icomet/README.md": "-rw-r--r--", "/usr/share/doc/icomet/examples/sysctl.conf": "-rw-r--r--",
	"/usr/share/bash-completion/completions/icomet": "-rw-r--r--", "/usr/share/bash-completion/completions/icomet-server": "-rw-r--r--",
	"/usr/share/fish/vendor_completions.d/icomet-bench.fish": "-rw-r--r--",
	"/usr/share/man/man1/icomet.1.gz":                        "-rw-r--r--", "/usr/share/man/man1/icomet-bench.1.gz": "-rw-r--r--",
	"/usr/share/man/man5/icomet.toml.5.gz": "-rw-r--r--", "/usr/share/man/man8/icomet-server.8.gz": "-rw-r--r--",
}

const conffiles = "/etc/default/icomet\n/etc/icomet/config.toml\n/etc/logrotate.d/icomet\n"

func testDeb(t *testing.T, dist string) {
	for _, arch := range []string{"amd64", "arm64"} {
		deb := filepath.Join(dist, "icomet_"+version.Release+"_"+arch+".deb")
		list := run(t, "dpkg-deb", "-c", deb)
		for path, mode := range installed {
			if !regexp.MustCompile(`(?m)^` + mode + ` root/root .* \.` + regexp.QuoteMeta(path) + `$`).MatchString(list) {
				t.Errorf("%s: no %s %s in\n%s", arch, mode, path, list)
			}
		}
		for field, want := range map[string]string{"Package": "icomet", "Version": version.Release, "Architecture": arch, "Depends": ""} {
			if got := strings.TrimSpace(run(t, "dpkg-deb", "-f", deb, field)); got != want {
				t.Errorf("%s: %s is %q, want %q", arch, field, got, want)
			}
		}
		if got := run(t, "dpkg-deb", "-I", deb, "conffiles"); got != conffiles {
			t.Errorf("%s: conffiles are %q", arch, got)
		}
	}
}

// testInstall installs the package into a root in which there is nothing else, and starts
// the server there.
func testInstall(t *testing.T, deb string) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "sh", "-ec", `mkdir -p "$0/var/lib/dpkg/info" "$0/var/lib/dpkg/updates" "$0/etc" && touch "$0/var/lib/dpkg/status"`, root)
	dpkg := func(args ...string) {
		t.Helper()
		run(t, "dpkg", append([]string{"--root=" + root, "--force-script-chrootless", "--log=/dev/null"}, args...)...)
	}
	dpkg("-i", deb)
	if passwd := read(t, root+"/etc/passwd"); !strings.HasPrefix(passwd, "icomet:") {
		t.Errorf("no user: %q", passwd)
	}
	verifyUnit(t, root)

	// As the package's user, which there is only by its number here.
	chroot := []string{"--userspec=999:999", root, "/usr/bin/icomet-server"}
	environ := []string{"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0", "PATH=" + os.Getenv("PATH")}
	cmd := exec.Command("chroot", append(chroot, "/etc/icomet/config.toml")...)
	cmd.Env = environ
	p := servertest.Launch(t, cmd)
	checkFirstMessage(t, p)
	run(t, "chroot", append(chroot, "-health", "http://"+p.Address("admin"))...)
	if got := run(t, "chroot", append(chroot, "-version")...); !regexp.MustCompile(
		`^icomet-server ` + regexp.QuoteMeta(version.Release) + ` \(commit [0-9a-f]{40}(-dirty)?, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, go1\.\S+, gnet v2\.\S+\)\n$`).MatchString(got) {
		t.Errorf("-version: %q", got)
	}

	// An upgrade keeps what the administrator wrote, and a purge leaves nothing.
	file := root + "/etc/icomet/config.toml"
	if err := os.WriteFile(file, []byte("[logger]\nlevel = \"debug\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dpkg("-i", deb)
	if got := read(t, file); got != "[logger]\nlevel = \"debug\"\n" {
		t.Errorf("after an upgrade: %q", got)
	}
	dpkg("-r", "icomet")
	if got := read(t, file); got != "[logger]\nlevel = \"debug\"\n" {
		t.Errorf("after a removal: %q", got)
	}
	run(t, "mkdir", "-p", root+"/var/lib/icomet", root+"/var/log/icomet")
	dpkg("-P", "icomet")
	for _, path := range []string{"/etc/icomet", "/var/lib/icomet", "/var/log/icomet", "/usr/bin/icomet-server"} {
		if _, err := os.Stat(root + path); !os.IsNotExist(err) {
			t.Errorf("%s is there after a purge (%v)", path, err)
		}
	}
}

// verifyUnit has systemd read the installed unit. What the unit needs of a system is made
// up in a copy of the root.
func verifyUnit(t *testing.T, root string) {
	t.Helper()
	system := filepath.Join(t.TempDir(), "root")
	run(t, "sh", "-ec", `cp -r "$0" "$1" && mkdir "$1/bin" && install -m 755 /dev/null "$1/bin/sh"
		for unit in sysinit basic shutdown network-online; do
			echo "[Unit]" >"$1/usr/lib/systemd/system/$unit.target"
		done`, root, system)
	if out := run(t, "systemd-analyze", "verify", "--man=no", "--root="+system, "icomet.service"); out != "" {
		t.Error(out)
	}
}

// checkFirstMessage publishes, and reads the message as a client does.
func checkFirstMessage(t *testing.T, p *servertest.Process) {
	t.Helper()
	status, body, err := servertest.Get("http://" + p.Address("admin") + "/push?cname=a&content=hi")
	if err != nil || status != http.StatusOK || body != `{"type":"ok"}`+"\n" {
		t.Fatalf("%d %s %v", status, body, err)
	}
	_, body, err = servertest.Get("http://" + p.Address("front") + "/sub?cname=a&seq=1")
	if want := `[{"type":"data","cname":"a","seq":1,"content":"hi"}]` + "\n"; err != nil || body != want {
		t.Errorf("got %s %v, want %s", body, err, want)
	}
}

func testRPM(t *testing.T, dist string) {
	for _, arch := range []string{"x86_64", "aarch64"} {
		rpm := filepath.Join(dist, "icomet-"+version.Release+"-1."+arch+".rpm")
		list := run(t, "rpm", "-qp", "--qf", `[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES}\n]`, rpm)
		for path, mode := range installed {
			if !strings.Contains(list, mode+" root "+path+"\n") {
				t.Errorf("%s: no %s %s in\n%s", arch, mode, path, list)
			}
		}
		if got := run(t, "rpm", "-qp", "--configfiles", rpm); got != conffiles {
			t.Errorf("%s: config files are %q", arch, got)
		}
		if got := run(t, "rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE}", rpm); got != "icomet "+version.Release+" 1 "+arch+" MIT" {
			t.Errorf("got %q", got)
		}
		if got := run(t, "rpm", "-qp", "--scripts", rpm); strings.Count(got, "#!/bin/sh") != 3 {
			t.Errorf("%s: the scripts are\n%s", arch, got)
		}
	}
}

// testArchive runs what the archive has, by an emulator if it is of another machine.
func testArchive(t *testing.T, dist, arch string) {
	var emulator []string
	if arch != runtime.GOARCH {
		emulator = []string{map[string]string{"arm64": "qemu-aarch64-static", "amd64": "qemu-x86_64-static"}[arch]}
		if _, err := exec.LookPath(emulator[0]); err != nil {
			t.Skip(err)
		}
	}
	name := "icomet-" + version.Release + "-linux-" + arch
	dir := t.TempDir()
	run(t, "tar", "-xzf", filepath.Join(dist, name+".tar.gz"), "-C", dir)
	for _, program := range []string{"icomet-server", "icomet", "icomet-bench"} {
		line := append(emulator, filepath.Join(dir, name, program), "-version")
		if got := run(t, line[0], line[1:]...); !strings.HasPrefix(got, program+" "+version.Release+" (commit ") {
			t.Errorf("%s: %q", program, got)
		}
	}
	line := append(emulator, filepath.Join(dir, name, "icomet-server"), filepath.Join(dir, name, "config.toml"))
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = []string{"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0"}
	checkFirstMessage(t, servertest.Launch(t, cmd))
}

func testSBOM(t *testing.T, dist string) {
	var doc struct {
		SPDXVersion string `json:"spdxVersion"`
		Packages    []struct {
			Name, SPDXID string
			VersionInfo  string `json:"versionInfo"`
		}
		Relationships []struct {
			Element string `json:"spdxElementId"`
			Related string `json:"relatedSpdxElement"`
		}
	}
	text := read(t, filepath.Join(dist, "icomet-"+version.Release+"-linux-amd64.spdx.json"))
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.SPDXVersion != "SPDX-2.3" {
		t.Fatal(doc.SPDXVersion, err)
	}
	ids := map[string]bool{"SPDXRef-DOCUMENT": true}
	names := map[string]bool{}
	for _, p := range doc.Packages {
		if ids[p.SPDXID] || !regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`).MatchString(p.SPDXID) || p.VersionInfo == "" {
			t.Errorf("%+v", p)
		}
		ids[p.SPDXID], names[p.Name] = true, true
	}
	for _, r := range doc.Relationships {
		if !ids[r.Element] || !ids[r.Related] {
			t.Errorf("%+v names what is not there", r)
		}
	}
	for _, want := range []string{"icomet-server", "icomet", "icomet-bench", "stdlib", "github.com/panjf2000/gnet/v2"} {
		if !names[want] {
			t.Error(fmt.Sprint(want, " is not listed"))
		}
	}
}
