package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/util/purl"
)

// statement is the part of BuildKit's provenance that is read here.
type statement struct {
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	Predicate struct {
		BuildDefinition struct {
			ExternalParameters struct {
				ConfigSource resource `json:"configSource"`
			} `json:"externalParameters"`
			InternalParameters struct {
				DockerfileVersion string `json:"dockerfileVersion"`
			} `json:"internalParameters"`
			ResolvedDependencies []resource `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		RunDetails struct {
			Metadata struct {
				StartedOn    time.Time `json:"startedOn"`
				FinishedOn   time.Time `json:"finishedOn"`
				Completeness struct {
					Request              bool `json:"request"`
					ResolvedDependencies bool `json:"resolvedDependencies"`
				} `json:"buildkit_completeness"`
			} `json:"metadata"`
		} `json:"runDetails"`
	} `json:"predicate"`
}

type resource struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// parseStatement reads a provenance statement and checks that it is about the manifest with this sha256.
func parseStatement(data []byte, manifest string) (statement, error) {
	var s statement
	if err := json.Unmarshal(data, &s); err != nil {
		return statement{}, err
	}
	if s.PredicateType != slsaV1 {
		return statement{}, fmt.Errorf("predicate type %q is not %q", s.PredicateType, slsaV1)
	}
	for _, subject := range s.Subject {
		if subject.Digest["sha256"] == manifest {
			return s, nil
		}
	}
	return statement{}, errors.New("not about this manifest")
}

// materials merges what each platform's provenance lists and says where in the Dockerfile it comes from.
func materials(images []*image, d dockerfile) []Material {
	byURI := map[string]Material{}
	for _, m := range images {
		for _, r := range m.statement.Predicate.BuildDefinition.ResolvedDependencies {
			material := Material{URI: r.URI, Digests: maps.Clone(r.Digest)}
			if from := d.find(materialKey(r.URI)); from.key != "" {
				material.Line, material.Pinned = from.line, from.pinned
			}
			byURI[r.URI] = material
		}
	}
	out := make([]Material, 0, len(byURI))
	for _, uri := range slices.Sorted(maps.Keys(byURI)) {
		out = append(out, byURI[uri])
	}
	return out
}

// materialKey is the key under which the Dockerfile would name a material.
func materialKey(uri string) string {
	if !strings.HasPrefix(uri, "pkg:") {
		key, _ := urlKey(uri)
		return key
	}
	ref, _, err := purl.PURLToRef(uri)
	if err != nil {
		return ""
	}
	key, _ := imageKey(ref)
	return key
}

// baseOf returns name and digest of the image the target stage starts from, as far as they are known.
func baseOf(key string, found []Material) (name, digest string) {
	if key == "" {
		return "", ""
	}
	named, err := reference.ParseNormalizedNamed(key)
	if err != nil {
		return "", ""
	}
	name = named.Name()
	if tagged, ok := named.(reference.Tagged); ok {
		name += ":" + tagged.Tag()
	}
	for _, m := range found {
		if sum := m.Digests["sha256"]; sum != "" && materialKey(m.URI) == key {
			return name, "sha256:" + sum
		}
	}
	return name, ""
}
