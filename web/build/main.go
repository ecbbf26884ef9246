package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/evanw/esbuild/pkg/api"
)

// outputs are the files to make: a classic script that sets the global iComet (and
// module.exports if there is one), and an ES module.
var outputs = []struct {
	name   string
	format api.Format
	entry  string
	footer string
}{
	{
		"icomet.js", api.FormatIIFE,
		`import { iComet } from './src/icomet.js'; globalThis.iComet = iComet;`,
		`typeof module=="object"&&(module.exports=globalThis.iComet);`,
	},
	{"icomet.mjs", api.FormatESModule, `export { iComet, iComet as default } from './src/icomet.js';`, ""},
}

func main() {
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	manifest, err := os.ReadFile("package.json")
	if err != nil {
		return err
	}
	var pkg struct{ Version string }
	if err := json.Unmarshal(manifest, &pkg); err != nil {
		return fmt.Errorf("package.json: %w", err)
	}
	for _, o := range outputs {
		code, err := bundle(o.entry, o.footer, o.format, pkg.Version)
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		if !check {
			if err := os.WriteFile(o.name, code, 0o644); err != nil {
				return err
			}
			continue
		}
		have, err := os.ReadFile(o.name)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, code) {
			return fmt.Errorf("%s is older than its source: run go generate ./web", o.name)
		}
	}
	return nil
}

func bundle(entry, footer string, format api.Format, version string) ([]byte, error) {
	r := api.Build(api.BuildOptions{
		Stdin:             &api.StdinOptions{Contents: entry, ResolveDir: "."},
		Bundle:            true,
		Format:            format,
		Target:            api.ES2018,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		MangleProps:       "^_", // private properties of the source
		LegalComments:     api.LegalCommentsNone,
		Banner:            map[string]string{"js": "/* icomet.js " + version + "; readable in src/ */"},
		Footer:            map[string]string{"js": footer},
		LogLevel:          api.LogLevelWarning,
	})
	if len(r.Errors) > 0 {
		return nil, errors.New(r.Errors[0].Text) // all of them are on stderr
	}
	return r.OutputFiles[0].Contents, nil
}
