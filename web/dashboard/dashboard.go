package dashboard

import (
	"embed"
	"io/fs"
)

// uPlot draws the charts. A release of it is vendored, with its licence.
//
//go:generate sh vendor.sh

//go:embed files
var files embed.FS

// Files returns the files by their names; index.html is the page. The bytes must not be
// changed.
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
		panic(err) // the files are embedded
	}
	return all
}
