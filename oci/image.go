package oci

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// resolveImage reads the image at root: its index and, for each runnable platform, manifest and configuration.
func resolveImage(ctx context.Context, s source, root descriptor) (Image, error) {
	n, err := load(ctx, s, root)
	if err != nil {
		return Image{}, err
	}
	img := Image{Digest: n.Digest, MediaType: n.MediaType, Size: n.Size, Annotations: n.doc.Annotations, Manifest: n.raw}
	entries := []descriptor{root}
	if isIndex(root.MediaType) {
		if entries, err = entriesOf(ctx, s, n.doc, 0); err != nil {
			return Image{}, fmt.Errorf("image %s: %w", root.Digest, err)
		}
	}
	var total int64
	for _, e := range entries {
		if total += e.Size; total > maxAttached {
			return Image{}, fmt.Errorf("image %s: %w: more than %d bytes of manifests", root.Digest, ErrCorrupt, maxAttached)
		}
	}
	if img.Platforms, err = readPlatforms(ctx, s, entries); err != nil {
		return Image{}, fmt.Errorf("image %s: %w", root.Digest, err)
	}
	return img, nil
}

// readPlatforms reads the entries side by side. A platform that is there twice is refused: which of the two a user
// gets would be left to chance.
func readPlatforms(ctx context.Context, s source, entries []descriptor) ([]Platform, error) {
	found := make([]*Platform, len(entries))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.jobs())
	for i, e := range entries {
		g.Go(func() (err error) {
			found[i], err = readPlatform(gctx, s, e)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []Platform
	seen := map[string]string{}
	for _, p := range found {
		if p == nil {
			continue
		}
		if first, ok := seen[p.Platform]; ok {
			return nil, fmt.Errorf("%w: platform %q twice, %s and %s", ErrCorrupt, p.Platform, first, p.Digest)
		}
		seen[p.Platform] = p.Digest
		out = append(out, *p)
	}
	if len(out) == 0 {
		return nil, errors.New("it has no runnable platform")
	}
	return out, nil
}

// entriesOf lists the manifests of an index and of the indexes in it, without those for unknown/unknown.
func entriesOf(ctx context.Context, s source, doc document, depth int) ([]descriptor, error) {
	var out []descriptor
	for _, d := range doc.Manifests {
		switch {
		case d.Platform != nil && d.Platform.unknown():
		case isManifest(d.MediaType):
			out = append(out, d)
		case isIndex(d.MediaType):
			if depth == maxIndexNest {
				return nil, fmt.Errorf("%w: indexes nested deeper than %d", ErrCorrupt, maxIndexNest)
			}
			n, err := load(ctx, s, d)
			if err != nil {
				return nil, err
			}
			inner, err := entriesOf(ctx, s, n.doc, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, inner...)
		default:
			return nil, fmt.Errorf("entry %s: media type %q is not an image's", d.Digest, d.MediaType)
		}
		if len(out) > maxManifests {
			return nil, fmt.Errorf("%w: more than %d manifests", ErrCorrupt, maxManifests)
		}
	}
	return out, nil
}

// readPlatform reads one entry of an index. It returns nil for an entry that is not an image and claims no
// platform: nothing would run it.
func readPlatform(ctx context.Context, s source, d descriptor) (*Platform, error) {
	n, err := load(ctx, s, d)
	if err != nil {
		return nil, err
	}
	conf := *n.doc.Config
	if conf.MediaType != typeConfig && conf.MediaType != typeDockerConfig {
		if d.Platform == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("manifest %s for %q: config of type %q is not an image's", d.Digest, d.Platform, conf.MediaType)
	}
	if conf.Size > maxConfig {
		return nil, fmt.Errorf("config %s: %w: %d bytes, at most %d are read", conf.Digest, ErrCorrupt, conf.Size, maxConfig)
	}
	raw, err := readAll(ctx, s, conf)
	if err != nil {
		return nil, err
	}
	var own platform
	if err := decodeStrict(raw, &own); err != nil {
		return nil, fmt.Errorf("config %s: %w: %w", conf.Digest, ErrCorrupt, err)
	}
	if d.Platform != nil {
		own = *d.Platform
	}
	if own.OS == "" || own.Architecture == "" {
		return nil, fmt.Errorf("manifest %s: %w: neither index nor config name its platform", d.Digest, ErrCorrupt)
	}
	p := Platform{Platform: own.String(), Digest: d.Digest, MediaType: d.MediaType, Size: d.Size,
		Annotations: n.doc.Annotations, Manifest: n.raw, Config: raw}
	for _, l := range n.doc.Layers {
		p.Layers = append(p.Layers, l.public())
	}
	return &p, nil
}
