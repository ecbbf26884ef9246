package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"

	"icomet/server"
	"icomet/web"
)

// TestBuildIsCurrent: the committed files are what the source gives.
func TestBuildIsCurrent(t *testing.T) {
	if out, err := exec.Command("go", "run", "./build", "-check").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSize(t *testing.T) {
	for name, body := range map[string][]byte{"icomet.js": web.Script, "icomet.mjs": web.Module} {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if b.Len() < 1000 || b.Len() >= 6*1024 {
			t.Errorf("%s has %d bytes gzipped, want less than 6 KiB", name, b.Len())
		}
	}
}

// TestPackage packs the npm package, installs nothing, and loads it both ways.
func TestPackage(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("npm", "pack", "--json", "--offline", "--pack-destination", dir).Output()
	if err != nil {
		t.Fatalf("npm pack: %v", err)
	}
	var packed []struct {
		Filename, Version string
		Files             []struct{ Path string }
	}
	if err := json.Unmarshal(out, &packed); err != nil || len(packed) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	files := []string{}
	for _, f := range packed[0].Files {
		files = append(files, f.Path)
	}
	slices.Sort(files)
	want := []string{
		"README.md", "icomet.d.ts", "icomet.js", "icomet.mjs", "package.json",
		"src/connection.js", "src/icomet.js", "src/request.js", "src/transports.js",
	}
	if !slices.Equal(files, want) {
		t.Errorf("the package has %q, want %q", files, want)
	}
	if packed[0].Version != server.Version {
		t.Errorf("the package is %s, the server %s", packed[0].Version, server.Version)
	}
	modules := dir + "/node_modules/icomet"
	if err := os.MkdirAll(modules, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xf", dir+"/"+packed[0].Filename, "-C", modules, "--strip-components=1").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v %s", err, out)
	}
	for name, script := range map[string]string{
		"a.cjs": "const iComet = require('icomet'); console.log(typeof iComet, iComet.name.length > 0)",
		"a.mjs": "import d, { iComet } from 'icomet'; console.log(typeof iComet, d === iComet)",
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("node", dir+"/"+name).CombinedOutput()
		if err != nil || string(out) != "function true\n" {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}
