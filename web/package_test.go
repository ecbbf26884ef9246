package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"

	"icomet/internal/version"
	"icomet/web"
)

// TestBuildIsCurrent: the committed files are what the build makes of the source.
func TestBuildIsCurrent(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("go", "run", "./build", "-check").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{"icomet.js": web.Script, "icomet.mjs": web.Module} {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if b.Len() < 1000 || b.Len() > 8704 {
			t.Errorf("%s has %d bytes gzipped, want at most 8.5 KiB", name, b.Len())
		}
	}
}

// installPackage packs the npm package and puts it where a program in dir finds it.
func installPackage(t *testing.T, dir string) (version string, files []string) {
	t.Helper()
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
	for _, f := range packed[0].Files {
		files = append(files, f.Path)
	}
	slices.Sort(files)
	modules := dir + "/node_modules/icomet"
	if err := os.MkdirAll(modules, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xf", dir+"/"+packed[0].Filename, "-C", modules, "--strip-components=1").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v %s", err, out)
	}
	return packed[0].Version, files
}

// TestPackage packs the npm package and loads it in both ways, without an installation.
func TestPackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release, files := installPackage(t, dir)
	want := []string{
		"LICENSE", "README.md", "icomet.d.mts", "icomet.d.ts", "icomet.js", "icomet.mjs", "package.json",
		"src/channel.js", "src/connection.js", "src/icomet.js", "src/link.js", "src/position.js", "src/request.js", "src/sharing.js", "src/transports.js",
	}
	if !slices.Equal(files, want) {
		t.Errorf("the package has %q, want %q", files, want)
	}
	licence, err := os.ReadFile("../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if packed, err := os.ReadFile(dir + "/node_modules/icomet/LICENSE"); err != nil || !bytes.Equal(packed, licence) {
		t.Errorf("the package's LICENSE is not the repository's (%v)", err)
	}
	if release != version.Release {
		t.Errorf("the package is %s, the server %s", release, version.Release)
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

// programs use the types in every way in which the package can be loaded: as an ES
// module, by require, and as the global of a classic script.
var programs = map[string]string{
	"use.mts": `import iComet, { iComet as Named, type Channel, type EventMap, type Options } from 'icomet';
const options: Options = { channel: 'a', subUrl: 'http://h', callback: c => console.log(c.length), transports: ['sse', 'jsonp'] };
const comet: Named = new iComet(options);
const off: () => void = comet.on('gap', e => console.log(e.lost.from + e.lost.to));
comet.on('lost', e => console.log(e.lost === 'unknown' ? e.reason : e.lost.to));
comet.on('recovered', e => new iComet({ ...options, from: e.position }));
comet.on('message', e => localStorage.setItem('position', e.position));
comet.on('state', (e: EventMap['state']) => console.log(e.state, e.retryIn));
const several = new iComet({
  channels: ['a', { channel: 'b', from: comet.position, callback: c => console.log(c.length) }],
  subUrl: 'http://h', callback: (c, channel) => console.log(c.length + channel.length), transports: ['ws', 'poll'], multiplex: true,
});
const added: Channel = several.add('c', { seq: 1, token: 'x' });
added.on('lost', e => several.remove(e.channel));
several.channels.map(name => several.channel(name)?.position.length);
// @ts-expect-error
added.add('d');
// @ts-expect-error
new iComet({ channel: 'a', channels: ['b'], subUrl: 'http://h' });
// @ts-expect-error
new iComet({ subUrl: 'http://h' });
const sent = comet.pub('x');
if (sent) sent.then(off);
// @ts-expect-error
comet.on('nonsense', () => {});
// @ts-expect-error
new iComet({ channel: 5, subUrl: 'http://h' });
`,
	"use.cts": `import iComet = require('icomet');
new iComet({ channel: 'a', subUrl: 'http://h', token: async why => why.channel }).setToken('x');
// @ts-expect-error
new iComet({ channel: 'a' });
`,
	"classic.ts": `/// <reference path="node_modules/icomet/icomet.d.ts" />
const comet = new iComet({ channel: 'a', signUrl: '/sign', subUrl: '/sub', pubUrl: '/pub', callback: c => console.log(c.length) });
const state: iComet.State = comet.state;
`,
}

func TestTypes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	installPackage(t, dir)
	for name, text := range programs {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"--module", "nodenext", "--moduleResolution", "nodenext", "use.mts", "use.cts"},
		{"--module", "es2022", "--moduleResolution", "node", "classic.ts"},
	} {
		tsc := exec.Command("tsc", append([]string{"--noEmit", "--strict", "--lib", "es2022,dom"}, args...)...)
		tsc.Dir = dir
		if out, err := tsc.CombinedOutput(); err != nil {
			t.Errorf("tsc %q: %v\n%s", args, err, out)
		}
	}
}
