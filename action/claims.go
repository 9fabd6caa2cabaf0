package action

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

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
		Signer: policy.Signer{Kind: signer.Kind, ID: signer.ID, Issuer: signer.Issuer, Workflow: policy.Workflow(signer.Workflow)},
	}, nil
}

// imageConfig is the part of an image configuration that rules may judge (OCI image-spec config.md; healthcheck is Docker's).
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

// readConfig reads an image configuration. Runtimes match the names of its members whatever their case and take the last, so
// one that writes a name in another way, or twice, could mean something else to them: it is refused.
func readConfig(raw []byte) (imageConfig, error) {
	var c imageConfig
	var top, config map[string]jsontext.Value
	if err := jsonv2.Unmarshal(raw, &top); err != nil {
		return c, err
	}
	if inner, ok := top["config"]; ok {
		if err := jsonv2.Unmarshal(inner, &config); err != nil {
			return c, err
		}
	}
	fields := reflect.TypeOf(c.Config)
	for name := range top {
		if strings.EqualFold(name, "config") && name != "config" {
			return c, fmt.Errorf("%q is not how the name is written", name)
		}
	}
	for name := range config {
		for i := range fields.NumField() {
			if want := fields.Field(i).Name; strings.EqualFold(name, want) && name != want {
				return c, fmt.Errorf("%q is not how the name is written", name)
			}
		}
	}
	err := jsonv2.Unmarshal(raw, &c)
	return c, err
}

// imageFacts says what the image itself, by digest, tells a policy.
func imageFacts(img oci.Image) (policy.Image, error) {
	out := policy.Image{Digest: img.Digest, MediaType: img.MediaType, Annotations: img.Annotations}
	for _, p := range img.Platforms {
		c, err := readConfig(p.Config)
		if err != nil {
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
