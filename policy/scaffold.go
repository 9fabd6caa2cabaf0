package policy

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/sealyard/sealyard/internal/hint"
)

//go:embed scaffold
var scaffoldFS embed.FS

// exampleInput is evidence that the baseline allows, for who has none yet.
//
//go:embed testdata/allowed.json
var exampleInput []byte

// Scaffold returns the files of a first bundle of that name, by file name.
func Scaffold(name string) (map[string][]byte, error) {
	if !validName.MatchString(name) {
		return nil, hint.Misuse(fmt.Errorf("bundle name %q is not of the form %s", clip(name), validName), "name the directory so")
	}
	out := map[string][]byte{manifestFile: []byte(fmt.Sprintf("{\n  \"revision\": \"1\",\n  \"rego_version\": 1,\n  \"roots\": [\"sealyard\", \"settings\"],\n  \"metadata\": {\"name\": %q}\n}\n", name))}
	entries, err := fs.ReadDir(scaffoldFS, "scaffold")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if out[e.Name()], err = scaffoldFS.ReadFile("scaffold/" + e.Name()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Example returns an input that the baseline allows: an image for two platforms with sound evidence. It is made up.
func Example() (Input, error) { return ParseInput(exampleInput) }
