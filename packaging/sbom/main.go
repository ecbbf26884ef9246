// Command sbom prints what Go programs were built from, as an SPDX 2.3 document: each
// module and its version, as the programs themselves record it.
//
//	sbom PROGRAM...
//
// The same programs give the same document.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"icomet/internal/version"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// document has the fields that SPDX 2.3 asks for.
type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creation       `json:"creationInfo"`
	Packages          []pkg          `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type pkg struct {
	Name             string        `json:"name"`
	SPDXID           string        `json:"SPDXID"`
	VersionInfo      string        `json:"versionInfo"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const (
	documentID = "SPDXRef-DOCUMENT"
	unstated   = "NOASSERTION"
)

func run(programs []string, stdout io.Writer) error {
	doc := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: documentID, Name: "icomet-" + version.Release,
		CreationInfo: creation{Creators: []string{"Tool: icomet-packaging-sbom"}},
	}
	modules := map[string]pkg{} // by SPDXID: one module serves several programs
	all := sha256.New()
	for _, path := range programs {
		bin, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		sum := sha256.Sum256(bin)
		all.Write(sum[:])
		program := pkg{
			Name: filepath.Base(path), SPDXID: id("program", filepath.Base(path), version.Release), VersionInfo: version.Release,
			DownloadLocation: unstated, LicenseDeclared: "MIT", Checksums: []checksum{{"SHA256", hex.EncodeToString(sum[:])}},
		}
		doc.Packages = append(doc.Packages, program)
		doc.Relationships = append(doc.Relationships, relationship{documentID, "DESCRIBES", program.SPDXID})
		used := []pkg{module("stdlib", strings.TrimPrefix(info.GoVersion, "go"))}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			used = append(used, module(m.Path, m.Version))
		}
		for _, m := range used {
			modules[m.SPDXID] = m
			doc.Relationships = append(doc.Relationships, relationship{program.SPDXID, "STATIC_LINK", m.SPDXID})
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				doc.CreationInfo.Created = s.Value
			}
		}
	}
	if doc.CreationInfo.Created == "" {
		return fmt.Errorf("the programs do not say when their commit was made: build them in a git checkout")
	}
	for _, key := range slices.Sorted(maps.Keys(modules)) {
		doc.Packages = append(doc.Packages, modules[key])
	}
	doc.DocumentNamespace = fmt.Sprintf("urn:icomet:sbom:%x", all.Sum(nil))
	out := json.NewEncoder(stdout)
	out.SetIndent("", " ")
	return out.Encode(doc)
}

func module(path, version string) pkg {
	return pkg{
		Name: path, SPDXID: id("module", path, version), VersionInfo: version,
		DownloadLocation: unstated, LicenseDeclared: unstated,
		ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + version}},
	}
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func id(kind, name, version string) string {
	return "SPDXRef-" + kind + "-" + notInID.ReplaceAllString(name+"-"+version, "-")
}
