package oci

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// What is pushed as an artifact of its own is read back with its content, by digest and by tag, and is the same when pushed again.
func TestArtifactInRegistry(t *testing.T) {
	everyRegistry(t, func(t *testing.T, addr string, _ bool) {
		ctx := context.Background()
		r := newRemote(t, RemoteOptions{})
		p := repository(t, r, addr+"/team/policy:1")
		a := Artifact{Annotations: map[string]string{"a": "b"}, Layers: []Layer{{MediaType: typeLayer + "+gzip", Content: []byte("rules")}}}
		img, err := p.PushArtifact(ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Artifact(ctx); !errors.Is(err, ErrNotFound) {
			t.Errorf("before tagging: %v", err)
		}
		if again, err := p.PushArtifact(ctx, a); err != nil || !reflect.DeepEqual(again, img) {
			t.Errorf("pushed again: %+v, %v", again, err)
		}
		if err := r.Tag(ctx, img, []string{addr + "/team/policy:1"}); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []string{addr + "/team/policy:1", addr + "/team/policy@" + img.Digest} {
			got, err := repository(t, r, ref).Artifact(ctx)
			if err != nil || got.Digest != img.Digest || got.Subject != "" || len(got.Layers) != 1 || string(got.Layers[0].Content) != "rules" {
				t.Errorf("%s: %+v, %v", ref, got, err)
			}
		}
		if _, err := p.Attach(ctx, img.Digest, bundle("signature")); err != nil {
			t.Error(err)
		}
		for _, bad := range []Artifact{{}, {Subject: img.Digest, Layers: a.Layers}} {
			if _, err := p.PushArtifact(ctx, bad); err == nil {
				t.Errorf("pushed %+v", bad)
			}
		}
	})
}

// T28 T31: an index counts when it has one manifest that is not for unknown/unknown; what is too large, corrupt, or several
// things is refused.
func TestArtifactRefuses(t *testing.T) {
	s := newScripted()
	for _, b := range []string{"{}", "rules"} {
		s.blobs[digestOf([]byte(b))] = []byte(b)
	}
	config := describe(typeConfig, []byte("{}"))
	layers := func(l ...descriptor) document {
		return document{SchemaVersion: 2, MediaType: typeManifest, Config: &config, Layers: l}
	}
	one := s.put("one", typeManifest, layers(describe("x/y", []byte("rules"))))
	two := s.put("two", typeManifest, layers(describe("x/z", []byte("rules"))))
	unknown := two
	unknown.Platform = &platform{OS: "unknown", Architecture: "unknown"}
	index := func(id string, entries ...descriptor) {
		s.put(id, typeIndex, document{SchemaVersion: 2, MediaType: typeIndex, Manifests: entries})
	}
	index("index", one, unknown)
	index("several", one, two)
	index("none", unknown)
	s.put("large", typeManifest, layers(descriptor{MediaType: "x/y", Digest: digestOf([]byte("rules")), Size: maxArtifact + 1}))
	wrong := describe("x/y", []byte("rules"))
	wrong.Size--
	s.put("wrong", typeManifest, layers(wrong))
	s.put("missing", typeManifest, layers(describe("x/y", []byte("nothing"))))
	base := serve(t, s)
	at := func(id string) (Artifact, error) {
		return repository(t, base.r, base.Name()+":"+id).Artifact(context.Background())
	}
	a, err := at("index")
	if err != nil || a.Digest == one.Digest || string(a.Layers[0].Content) != "rules" {
		t.Errorf("%+v, %v", a, err)
	}
	for id, want := range map[string]string{
		"several": "has 2 manifests, not 1", "none": "has 0 manifests, not 1", "large": "at most 33554432 are read", "wrong": "corrupt", "missing": "no blob", "absent": `no tag "absent"`,
	} {
		if _, err := at(id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
