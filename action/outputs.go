package action

import (
	"encoding/json"
	"strings"

	"github.com/sealyard/sealyard/action/report"
)

// output is one row of the table of results that a workflow step hands on.
type output struct{ name, help string }

func outputs() []output {
	return []output{
		{"verdict", "allowed, denied or undecided"},
		{"would-deny", "true when the image was denied and mode is warn"},
		{"digest", "digest of the image index"},
		{"imageid", "digest of the image configuration, when one platform was built"},
		{"platform-digests", "JSON object: platform to digest of its manifest"},
		{"metadata", "JSON object with containerimage.digest and image.name, as docker/build-push-action gives it"},
		{"evidence-path", "directory with the image, its evidence and the decision"},
		{"sarif", "path of the findings as SARIF"},
		{"sbom", "path of the directory with the SBOMs"},
	}
}

// imageOutputs writes the outputs that are JSON.
func imageOutputs(img report.Image) (platforms, metadata string, err error) {
	digests := map[string]string{}
	for _, p := range img.Platforms {
		digests[p.Platform] = p.Digest
	}
	p, err := json.Marshal(digests)
	if err != nil {
		return "", "", err
	}
	m, err := json.Marshal(map[string]string{"containerimage.digest": img.Digest, "image.name": strings.Join(img.Names, ",")})
	return string(p), string(m), err
}
