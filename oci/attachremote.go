package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Attach adds a to the repository as a referrer of the manifest with digest subject, which must be there, and returns a with its
// digests set. It is [Dir.Attach] for a registry: the same artifact gives the same bytes, attaching it again changes nothing, and
// where there is no API for referrers the fallback tag lists it (spec R55). When it returns nil, the artifact can be found.
func (p *Repository) Attach(ctx context.Context, subject string, a Artifact) (Artifact, error) {
	if a.Type == "" || len(a.Layers) == 0 {
		return Artifact{}, errors.New("an artifact needs a type and a layer")
	}
	if !validDigest(subject) {
		return Artifact{}, fmt.Errorf("digest %q is not sha256 and 64 hex digits", subject)
	}
	about, _, err := p.head(ctx, subject)
	if err != nil {
		return Artifact{}, err
	}
	doc, blobs, err := a.document(descriptor{MediaType: about.MediaType, Digest: about.Digest, Size: about.Size})
	if err != nil {
		return Artifact{}, err
	}
	raw, err := encode(doc)
	if err != nil {
		return Artifact{}, err
	}
	config := *doc.Config
	for i, d := range append([]descriptor{config}, doc.Layers...) {
		content := blobs[i]
		if err := p.upload(ctx, d, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }); err != nil {
			return Artifact{}, fmt.Errorf("%s: %w", blobFile(d.Digest), err)
		}
	}
	n := node{descriptor: describe(typeManifest, raw), doc: doc, raw: raw}
	if err := (sender{p: p}).attach(ctx, subject, []node{n}); err != nil {
		return Artifact{}, fmt.Errorf("referrers of %s: %w", subject, err)
	}
	if err := p.listed(ctx, subject, []descriptor{n.listing()}); err != nil {
		return Artifact{}, fmt.Errorf("referrers of %s read back: %w", subject, err)
	}
	a.Digest, a.Subject = n.Digest, subject
	a.Layers = append([]Layer(nil), a.Layers...)
	for i, l := range doc.Layers {
		a.Layers[i].Digest = l.Digest
	}
	return a, nil
}
