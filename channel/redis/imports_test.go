package redis

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnlyImporter: nothing else in the module imports the Redis client.
func TestOnlyImporter(t *testing.T) {
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
