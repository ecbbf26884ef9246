package redis

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"icomet/internal/imports"
)

// TestOnlyImporter: nothing else in the module imports the Redis client.
func TestOnlyImporter(t *testing.T) {
	t.Parallel()
	importers := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "\t\"github.com/redis/rueidis\"\n") {
			return err
		}
		importers++
		if abs, err := filepath.Abs(path); err != nil || filepath.Base(filepath.Dir(abs)) != "redis" {
			t.Errorf("%s imports the Redis client", path)
		}
		return nil
	})
	if err != nil || importers < 5 {
		t.Errorf("%d importers are found, %v", importers, err)
	}
}

// TestNoWallClock: a step of the machine's clock changes nothing. Durations come from
// the monotonic part of a time.Time, which every conversion to a number loses, and
// what nodes share comes from Redis's own clock.
func TestNoWallClock(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if call := wallClock.FindString(string(text)); call != "" && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s has %s", file, call)
		}
	}
}

var wallClock = regexp.MustCompile(`\.Unix(Nano|Milli|Micro)?\(|time\.(Unix(Milli|Micro)?|Date)\(|\.Round\(0\)`)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                      // as everywhere
		"icomet/channel",           // the Engine to implement, and the Hub that follows
		"github.com/redis/rueidis", // the Redis client; only this package may import it
	)
	imports.Forbid(t, imports.Rules{
		"net/http/...": "no HTTP is known here: calls come through channel.Engine",
	})
}
