package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// repository is one with just what a release looks at.
type repository struct {
	dir string
	t   *testing.T
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{filepath.Join(t.TempDir(), "repository"), t}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git("init", "-q")
	r.write("packaging/release", read(t, "release"))
	r.write("internal/version/version.go", "package version\n\nconst Release = \"1.2.3\"\n")
	r.write("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-31\n\n### Added\n\n- this\n\n## [1.2.2] - 2026-11-30\n\n- that\n")
	r.commit()
	return r
}

func (r *repository) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repository) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = r.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir + "/..", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost",
	}
	return cmd
}

func (r *repository) git(args ...string) string {
	r.t.Helper()
	out, err := r.command("git", args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (r *repository) commit() {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "a change")
}

// release runs the script, with commands that check and build.
func (r *repository) release(version, check, build string) (out string, err error) {
	cmd := r.command("packaging/release", version)
	cmd.Env = append(cmd.Env, "RELEASE_CHECK="+check, "RELEASE_PACKAGE="+build)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

func TestRelease(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	// What is checked and built is what is tagged.
	out, err := r.release("1.2.3", "git rev-parse HEAD >../checked", "test -s ../checked && touch ../built")
	if err != nil || !strings.Contains(out, "tagged v1.2.3") {
		t.Fatalf("%v, %s", err, out)
	}
	if _, err := os.Stat(r.dir + "/../built"); err != nil {
		t.Error(err)
	}
	if got, want := r.git("rev-parse", "v1.2.3^{commit}"), read(t, r.dir+"/../checked"); got != want {
		t.Errorf("%s is tagged, %s was checked", got, want)
	}
	if got := r.git("tag", "-l", "--format=%(contents)", "v1.2.3"); strings.TrimSpace(got) != "iComet 1.2.3\n\n### Added\n\n- this" {
		t.Errorf("the tag says %q", got)
	}
	if out, err := r.release("1.2.3", "true", "true"); err == nil || !strings.Contains(out, "the tag v1.2.3 exists") {
		t.Errorf("a second time: %v, %s", err, out)
	}
}

// TestReleaseRefuses: nothing is tagged unless all is in order.
func TestReleaseRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		version, check, build string
		before                func(*repository)
		want                  string
	}{
		"no version":      {version: "", want: `VERSION is "": want x.y.z`},
		"bad version":     {version: "v1.2.3", want: `want x.y.z`},
		"another version": {version: "1.2.4", want: "has another Release than 1.2.4"},
		"changes":         {version: "1.2.3", before: func(r *repository) { r.write("CHANGELOG.md", "x") }, want: "not committed"},
		"a new file":      {version: "1.2.3", before: func(r *repository) { r.write("new", "x") }, want: "not committed"},
		"no entry": {version: "1.2.3", want: "CHANGELOG.md has no entry", before: func(r *repository) {
			r.write("CHANGELOG.md", "## [Unreleased]\n\n- this\n")
			r.commit()
		}},
		"an empty entry": {version: "1.2.3", want: "CHANGELOG.md has no entry", before: func(r *repository) {
			r.write("CHANGELOG.md", "## [1.2.3] - 2026-12-31\n\n## [1.2.2] - 2026-11-30\n\n- that\n")
			r.commit()
		}},
		"failing checks":    {version: "1.2.3", check: "false", want: "the checks have failed"},
		"failing build":     {version: "1.2.3", build: "false", want: "the packages cannot be built"},
		"checks that write": {version: "1.2.3", check: "touch new", want: "have changed the tree"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			if c.before != nil {
				c.before(r)
			}
			if c.check == "" {
				c.check = "true"
			}
			if c.build == "" {
				c.build = "true"
			}
			out, err := r.release(c.version, c.check, c.build)
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v, %s, want %q", err, out, c.want)
			}
			if tags := r.git("tag", "-l"); tags != "" {
				t.Errorf("it is tagged: %s", tags)
			}
		})
	}
}

// TestChangelog: the changes are under headings that the script finds when they get a
// version and a date.
func TestChangelog(t *testing.T) {
	t.Parallel()
	allowed := regexp.MustCompile(`^(## \[Unreleased\]|## \[\d+\.\d+\.\d+[^]]*\] - \d{4}-\d\d-\d\d|### (Added|Changed|Deprecated|Removed|Fixed|Security))$`)
	count := 0
	for line := range strings.SplitSeq(read(t, "../CHANGELOG.md"), "\n") {
		if strings.HasPrefix(line, "##") {
			count++
			if !allowed.MatchString(line) {
				t.Errorf("%q is not a heading of Keep a Changelog", line)
			}
		}
	}
	if count == 0 {
		t.Error("no heading")
	}
}
