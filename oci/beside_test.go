package oci

import (
	"context"
	"errors"
	"testing"
)

// T17 T27: only what a tag holds is told of it; no tag is no answer, and a tag that is damaged is not passed over in silence.
func TestSuffixed(t *testing.T) {
	ctx := context.Background()
	s := newScripted()
	subject := s.artifact(descriptor{MediaType: typeManifest, Digest: digestOf(nil)}, "x", "subject")
	p := serve(t, s)
	if got, err := Suffixed(ctx, p, subject.Digest, ".sig"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v %v", got, err)
	}
	config := describe(typeConfig, []byte("{}"))
	layer := descriptor{MediaType: "application/x", Digest: digestOf([]byte("x")), Size: 1, Annotations: map[string]string{"predicateType": "y"}}
	tag := fallbackTag(subject.Digest) + ".sig"
	s.put(tag, typeManifest, document{SchemaVersion: 2, Config: &config, Layers: []descriptor{layer}})
	got, err := Suffixed(ctx, p, subject.Digest, ".sig")
	if err != nil || got.Subject != subject.Digest || len(got.Layers) != 1 || got.Layers[0].Size != 1 || got.Layers[0].Annotations["predicateType"] != "y" {
		t.Errorf("%v %v", got, err)
	}
	s.put(tag, typeIndex, document{SchemaVersion: 2, Manifests: []descriptor{subject}})
	if got, err := Suffixed(ctx, p, subject.Digest, ".sig"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an index: %v %v", got, err)
	}
	s.put(tag, typeManifest, map[string]any{"schemaVersion": 1})
	if got, err := Suffixed(ctx, p, subject.Digest, ".sig"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no manifest: %v %v", got, err)
	}
}
