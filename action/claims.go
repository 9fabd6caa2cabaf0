package action

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// statement is what a statement just made and a verified one have in common.
type statement interface {
	PredicateType() string
	Subjects() []string
	Digest() string
	Predicate() json.RawMessage
}

// claim turns a statement into what rules see of it.
func claim(s statement, signer attest.Identity) (policy.Claim, error) {
	predicate, err := policy.Trim(s.PredicateType(), s.Predicate())
	if err != nil {
		return policy.Claim{}, fmt.Errorf("claim %s: %w", s.Digest(), err)
	}
	return policy.Claim{
		PredicateType: s.PredicateType(), Subjects: s.Subjects(), Digest: s.Digest(), Predicate: predicate,
		Signer: policy.Signer{Kind: signer.Kind, ID: signer.ID, Issuer: signer.Issuer},
	}, nil
}

// imageConfig is the part of an image configuration that rules may judge (OCI image-spec config.md; healthcheck is Docker's).
// Runtimes match the names of its members whatever their case and take the last: one that says a thing twice is refused.
type imageConfig struct {
	Created string `json:"created"`
	Config  struct {
		User         string
		Entrypoint   []string
		Cmd          []string
		Env          []string
		ExposedPorts map[string]struct{}
		Volumes      map[string]struct{}
		Labels       map[string]string
		WorkingDir   string
		Healthcheck  *struct{ Test []string }
	} `json:"config"`
}

// imageFacts says what the image itself, by digest, tells a policy.
func imageFacts(img oci.Image) (policy.Image, error) {
	out := policy.Image{Digest: img.Digest, MediaType: img.MediaType, Annotations: img.Annotations}
	for _, p := range img.Platforms {
		var c imageConfig
		if err := jsonv2.Unmarshal(p.Config, &c, jsonv2.MatchCaseInsensitiveNames(true)); err != nil {
			return policy.Image{}, fmt.Errorf("image configuration of %s: %w", p.Platform, err)
		}
		facts := policy.Platform{
			Platform: p.Platform, Digest: p.Digest, Annotations: p.Annotations, Size: layerBytes(p), Layers: len(p.Layers),
			Config: policy.Config{
				User: c.Config.User, Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd,
				EnvNames: envNames(c.Config.Env), ExposedPorts: keys(c.Config.ExposedPorts), Volumes: keys(c.Config.Volumes),
				Labels: c.Config.Labels, WorkingDir: c.Config.WorkingDir, Created: c.Created,
			},
		}
		if h := c.Config.Healthcheck; h != nil && len(h.Test) > 0 {
			facts.Config.Healthcheck = h.Test[0] != "NONE"
		}
		out.Platforms = append(out.Platforms, facts)
	}
	return out, nil
}

func envNames(env []string) []string {
	var names []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		names = append(names, name)
	}
	return names
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
