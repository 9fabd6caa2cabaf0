package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sealyard/sealyard/internal/hint"
)

// Artifact reads what the reference of the repository names, which need not be an image, with all its content: a manifest, or an
// index with one manifest besides those for unknown/unknown. The digest returned is that of what is named, the type that of the
// manifest. An artifact that the registry does not have is [ErrNotFound].
func (p *Repository) Artifact(ctx context.Context) (Artifact, error) {
	root, raw, err := p.head(ctx, p.ref.Identifier())
	if err != nil {
		return Artifact{}, err
	}
	n, err := load(ctx, known{source: p, have: map[string][]byte{root.Digest: raw}}, root)
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", p.Name(), err)
	}
	if isIndex(root.MediaType) {
		entries, err := entriesOf(ctx, p, n.doc, 0)
		if err != nil {
			return Artifact{}, fmt.Errorf("%s: index %s: %w", p.Name(), root.Digest, err)
		}
		if len(entries) != 1 {
			return Artifact{}, hint.Misuse(fmt.Errorf("%s: index %s has %d manifests, not 1", p.Name(), root.Digest, len(entries)), "name one of them by its digest")
		}
		if n, err = load(ctx, p, entries[0]); err != nil {
			return Artifact{}, fmt.Errorf("%s: %w", p.Name(), err)
		}
	}
	var size int64
	for _, l := range n.doc.Layers {
		size += l.Size
	}
	if size > maxArtifact {
		return Artifact{}, fmt.Errorf("%s: artifact %s: %d bytes, at most %d are read", p.Name(), n.Digest, size, maxArtifact)
	}
	a, err := readArtifact(ctx, p, n, true)
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", p.Name(), err)
	}
	a.Digest = root.Digest
	return a, nil
}

// PushArtifact sends an artifact that is about nothing else to the repository, by digest, and reads its manifest back. No tag moves:
// see [Remote.Tag]. Its configuration is the empty one of an image, which every registry takes; its type is that of its layers.
// The same layers give the same digest.
func (p *Repository) PushArtifact(ctx context.Context, a Artifact) (Image, error) {
	if a.Subject != "" || len(a.Layers) == 0 {
		return Image{}, errors.New("an artifact of its own has a layer and no subject")
	}
	config := describe(typeConfig, []byte(emptyJSON))
	doc := document{SchemaVersion: 2, MediaType: typeManifest, ArtifactType: a.Type, Config: &config, Annotations: a.Annotations}
	blobs := [][]byte{[]byte(emptyJSON)}
	for _, l := range a.Layers {
		d := describe(l.MediaType, l.Content)
		d.Annotations = l.Annotations
		doc.Layers = append(doc.Layers, d)
		blobs = append(blobs, l.Content)
	}
	raw, err := encode(doc)
	if err != nil {
		return Image{}, err
	}
	for i, d := range doc.children() {
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blobs[i])), nil }
		if err := p.upload(ctx, d, open); err != nil {
			return Image{}, fmt.Errorf("%s: %w", blobFile(d.Digest), err)
		}
	}
	n := node{descriptor: describe(typeManifest, raw), doc: doc, raw: raw}
	if err := (sender{p: p}).manifest(ctx, n); err != nil {
		return Image{}, err
	}
	got, err := p.manifest(ctx, n.descriptor)
	if err == nil && !bytes.Equal(got, raw) {
		err = ErrCorrupt
	}
	if err != nil {
		return Image{}, fmt.Errorf("manifest %s read back: %w", n.Digest, err)
	}
	return Image{Digest: n.Digest, MediaType: typeManifest, Size: n.Size, Manifest: raw}, nil
}
