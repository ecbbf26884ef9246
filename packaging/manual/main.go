// Command manual writes the manual pages of the programs and the completions of shells.
//
//	manual PROGRAMS FOLDER
//
// PROGRAMS is a folder with icomet-server, icomet and icomet-bench, which run on this
// machine: what they print as their help is what the pages say. It is run where config.toml
// is. SOURCE_DATE_EPOCH is the date of the pages. The same input gives the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"icomet/internal/version"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: manual PROGRAMS FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// run writes man/NAME.SECTION.gz and completion/SHELL/PROGRAM into the folder.
func run(programs, folder, epoch string) error {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", epoch)
	}
	files, err := contents(programs, time.Unix(seconds, 0).UTC().Format(time.DateOnly))
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if filepath.Dir(name) == "man" {
			path += ".gz"
			if text, err = zip(text); err != nil {
				return err
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// zip compresses a page, without a name and a time in it.
func zip(text string) (string, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return b.String(), nil
}

// contents makes all pages and completions, by name.
func contents(programs, date string) (map[string]string, error) {
	ask := asker{programs: programs}
	shipped, err := os.ReadFile("config.toml")
	if err != nil {
		return nil, err
	}
	server, bench := ask.server(), ask.bench()
	files := map[string]string{
		"man/icomet-server.8": serverPage(server).in(date),
		"man/icomet.1":        ask.commandPage().in(date),
		"man/icomet-bench.1":  benchPage(bench).in(date),
		"man/icomet.toml.5":   configPage(string(shipped)).in(date),
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		files["completion/"+shell+"/icomet"] = ask.help("icomet", "completion", shell)
	}
	for _, p := range []*program{server, bench} {
		files["completion/bash/"+p.name] = p.bash()
		files["completion/zsh/"+p.name] = p.zsh()
		files["completion/fish/"+p.name] = p.fish()
	}
	return files, ask.err
}

// asker runs the programs for their help.
type asker struct {
	programs string // the folder
	err      error  // the first one; everything after it is empty
}

func (a *asker) help(name string, args ...string) string {
	if a.err != nil {
		return ""
	}
	cmd := exec.Command(filepath.Join(a.programs, name), args...)
	cmd.Env = []string{} // the help does not depend on it
	out, err := cmd.CombinedOutput()
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("prints nothing")
	}
	if err != nil {
		a.err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func source() string { return "iComet " + version.Release }
