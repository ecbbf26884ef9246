// Package dashboard holds the files of the admin port's page. They are served as they
// are: there is no build step, and nothing comes from another site.
package dashboard

import (
	"embed"
	"io/fs"
)

// uPlot draws the charts. Its release is vendored, with its licence.
//
//go:generate sh vendor.sh

//go:embed files
var files embed.FS

// Files are the files by name; index.html is the page.
func Files() map[string][]byte {
	all := make(map[string][]byte)
	err := fs.WalkDir(files, "files", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[d.Name()], err = files.ReadFile(path)
		return err
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return all
}
