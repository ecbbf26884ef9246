package main

import (
	"fmt"
	"io"
	"os"

	"icomet/server/config"
	"icomet/server/config/importer"
)

// maxImport is in bytes: a larger file is no configuration.
const maxImport = 1 << 20

// importConfig prints the configuration that does what an original server's file does.
func importConfig(path string, stdout io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return &config.Error{File: path, Reason: config.SystemWords(err).Error()}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImport+1))
	if err != nil {
		return &config.Error{File: path, Reason: config.SystemWords(err).Error()}
	}
	if len(data) > maxImport {
		return &config.Error{File: path, Reason: "is larger than 1MiB: not a configuration file"}
	}
	toml, err := importer.Convert(path, string(data))
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(stdout, toml)
	return err
}
