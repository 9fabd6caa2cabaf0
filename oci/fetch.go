package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/internal/hint"
)

// copyBuffer is what one blob being copied holds in memory.
const copyBuffer = 256 << 10

// Fetch copies the image that ref means in s, and the artifacts of these types attached to it and to its platforms
// (no types given: all of them), into a new layout at dir. dir must not exist or be empty; it is there complete or
// not at all. Artifacts of other types that cannot be read are passed over.
//
// The layout's index.json lists exactly one image index, and then the artifacts: whatever can be resolved, be it a
// foreign layout, a docker archive or Docker's media types, has this shape afterwards. No bytes of an image change.
// An image that is a single manifest gets an index put round it; the returned Image, and a later Resolve of the new
// layout, still go by the manifest's digest, and [Image.Index] names the index.
func Fetch(ctx context.Context, s Store, ref, dir string, types ...string) (Image, error) {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return Image{}, err
	}
	err = newLayout(dir, func(out *os.Root) error {
		img.Index, err = materialise(ctx, s.source(), img, types, out)
		return err
	})
	if err != nil {
		return Image{}, err
	}
	return img, nil
}

// newLayout makes a directory beside dir, lets fill write it, and moves it to dir; on any error nothing stays.
func newLayout(dir string, fill func(out *os.Root) error) (err error) {
	dir = filepath.Clean(dir)
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return hint.Misuse(fmt.Errorf("directory %q is not empty", dir), "name a directory that does not exist yet")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".sealyard-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = removing(tmp, err)
		}
	}()
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := root.WriteFile("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	if err := fill(root); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) { // empty: rename does not replace it
		return err
	}
	return os.Rename(tmp, dir)
}

// materialise writes the image, its artifacts and index.json, and returns the digest of the image index there.
func materialise(ctx context.Context, src source, img Image, types []string, out *os.Root) (string, error) {
	c := &copier{src: known{source: src, have: img.manifests()}, out: out, done: map[string]int64{}}
	root := descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: img.Size}
	if err := c.image(ctx, root); err != nil {
		return "", err
	}
	entries := []descriptor{root}
	if !isIndex(root.MediaType) {
		wrapped, err := c.wrap(img, root)
		if err != nil {
			return "", err
		}
		entries[0] = wrapped
	}
	subjects := []string{img.Digest}
	for _, p := range img.Platforms {
		subjects = append(subjects, p.Digest)
	}
	slices.Sort(subjects)
	for _, subject := range slices.Compact(subjects) {
		nodes, err := referrersOf(ctx, c.src, subject, types...)
		if err != nil {
			return "", err
		}
		for _, n := range nodes {
			if c.has(n.Digest) {
				continue // a manifest in the image's own index
			}
			if err := c.image(ctx, n.descriptor); err != nil {
				return "", fmt.Errorf("artifact %s about %s: %w", n.Digest, subject, err)
			}
			entries = append(entries, n.listing())
		}
	}
	index, _, err := addEntries(nil, entries)
	if err != nil {
		return "", err
	}
	return entries[0].Digest, c.write("index.json", index)
}

// manifests returns the manifests and configs that the image holds, by digest.
func (img Image) manifests() map[string][]byte {
	have := map[string][]byte{img.Digest: img.Manifest}
	for _, p := range img.Platforms {
		have[p.Digest] = p.Manifest
	}
	return have
}

// known is a source that has some manifests at hand already.
type known struct {
	source
	have map[string][]byte
}

func (k known) manifest(ctx context.Context, d descriptor) ([]byte, error) {
	if raw, ok := k.have[d.Digest]; ok && d.same(raw) == nil {
		return raw, nil
	}
	return k.source.manifest(ctx, d)
}

// copier copies into a layout being made.
type copier struct {
	src  source
	out  *os.Root
	done map[string]int64 // digest to size of what is there
}

func (c *copier) has(digest string) bool {
	_, ok := c.done[digest]
	return ok
}

// image copies a manifest or an index and everything below it.
func (c *copier) image(ctx context.Context, root descriptor) error {
	t, err := walk(ctx, c.src, root)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.src.jobs())
	for _, b := range t.blobs {
		if c.has(b.Digest) {
			continue
		}
		c.done[b.Digest] = b.Size
		g.Go(func() error { return c.blob(gctx, b) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, n := range t.nodes {
		if c.has(n.Digest) {
			continue
		}
		c.done[n.Digest] = n.Size
		if err := c.write(blobFile(n.Digest), n.raw); err != nil {
			return err
		}
	}
	return nil
}

// blob copies one blob; its bytes are verified on the way.
func (c *copier) blob(ctx context.Context, b descriptor) error {
	return c.src.read(ctx, b, func(r io.Reader) error {
		return writeFile(c.out, blobFile(b.Digest), func(w io.Writer) error {
			_, err := io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, copyBuffer))
			return err
		})
	})
}

func (c *copier) write(name string, content []byte) error {
	return writeFile(c.out, name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// wrap writes an index that holds the single manifest, and describes it.
func (c *copier) wrap(img Image, root descriptor) (descriptor, error) {
	p := platformOf(img.Platforms[0].Platform)
	root.Platform = &p
	raw, _, err := addEntries(nil, []descriptor{root})
	if err != nil {
		return descriptor{}, err
	}
	d := describe(typeIndex, raw)
	d.Annotations = map[string]string{wrapsAnnotation: root.Digest}
	return d, c.write(blobFile(d.Digest), raw)
}

// platformOf is the inverse of platform.String.
func platformOf(s string) platform {
	var p platform
	os, rest, _ := strings.Cut(s, "/")
	p.OS, p.OSVersion, _ = strings.Cut(strings.TrimSuffix(os, ")"), "(")
	p.Architecture, p.Variant, _ = strings.Cut(rest, "/")
	return p
}
