package oci

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Unrun returns the manifests in an image's index that nothing runs because they are for the platform unknown/unknown, such
// as those in which BuildKit keeps attestations. They are given as artifacts, without content, and with the annotations of
// the index's entry over their own.
func Unrun(ctx context.Context, s Store, img Image) ([]Artifact, error) {
	if !isIndex(img.MediaType) {
		return nil, nil
	}
	doc, err := parseManifest(img.Manifest, img.MediaType)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w: %w", img.Digest, ErrCorrupt, err)
	}
	var out []Artifact
	for _, d := range doc.Manifests {
		if d.Platform == nil || !d.Platform.unknown() || !isManifest(d.MediaType) {
			continue
		}
		n, err := load(ctx, s.source(), d)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", img.Digest, err)
		}
		out = append(out, n.artifact())
	}
	return out, nil
}

// Suffixed returns what the tag sha256-<hex><suffix> names, where older tools keep what they know of a digest. It is given
// as an artifact about that digest, without content. No such tag is [ErrNotFound]; a layout on disk has none.
func Suffixed(ctx context.Context, s Store, digest, suffix string) (Artifact, error) {
	tag := strings.Replace(digest, ":", "-", 1) + suffix
	repo, ok := s.(*Repository)
	if !ok {
		return Artifact{}, fmt.Errorf("tag %q: %w", tag, ErrNotFound)
	}
	if _, err := name.NewTag(repo.Name() + ":" + tag); err != nil {
		return Artifact{}, fmt.Errorf("tag %q: %w", tag, err)
	}
	d, raw, err := repo.head(ctx, tag)
	if err != nil {
		return Artifact{}, err
	}
	doc, err := parseManifest(raw, d.MediaType)
	if err == nil && isIndex(d.MediaType) {
		err = errors.New("an index where a manifest is due")
	}
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: tag %q: %w: %w", repo.Name(), tag, ErrCorrupt, err)
	}
	a := node{descriptor: d, doc: doc, raw: raw}.artifact()
	a.Subject = digest
	return a, nil
}

// artifact describes a manifest as an artifact, without the content of its layers.
func (n node) artifact() Artifact {
	a := Artifact{Type: n.doc.artifactType(), Digest: n.Digest, Annotations: map[string]string{}}
	if n.doc.Subject != nil {
		a.Subject = n.doc.Subject.Digest
	}
	for _, from := range []map[string]string{n.doc.Annotations, n.descriptor.Annotations} {
		for k, v := range from {
			a.Annotations[k] = v
		}
	}
	for _, l := range n.doc.Layers {
		a.Layers = append(a.Layers, Layer{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Annotations: l.Annotations})
	}
	return a
}
