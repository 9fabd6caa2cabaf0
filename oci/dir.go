package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/internal/hint"
)

// nameAnnotation gives an entry of index.json a name.
const nameAnnotation = "org.opencontainers.image.ref.name"

// wrapsAnnotation marks the entry of index.json whose index Fetch put round an image that is a single manifest. Its
// value is that manifest's digest, which stays the image's. It stands in index.json and not in the index, so that
// no published image can carry it.
const wrapsAnnotation = "dev.sealyard.wraps"

// Dir is an OCI image layout on disk. Only regular files in it are read, and none outside it. Its methods may be
// called side by side.
type Dir struct {
	path string
	root *os.Root
	mu   sync.Mutex // held while index.json is being replaced
	seen memory     // manifests that were read
}

// OpenDir opens the image layout in dir. That dir is no layout is misuse; a layout of another version is an error.
func OpenDir(dir string) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, hint.Misuse(err, "give the directory of an OCI image layout")
	}
	d := &Dir{path: dir, root: root}
	raw, err := d.file("oci-layout", maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		err = hint.Misuse(fmt.Errorf("%q is not an OCI image layout: it has no file oci-layout", dir), "give the directory that holds oci-layout and index.json")
	}
	if err == nil {
		err = checkVersion(raw)
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return d, nil
}

func checkVersion(raw []byte) error {
	var v struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := decodeStrict(raw, &v); err != nil {
		return fmt.Errorf("oci-layout: %w: %w", ErrCorrupt, err)
	}
	if v.Version != "1.0.0" {
		return fmt.Errorf("oci-layout: version %q, only 1.0.0 is supported", v.Version)
	}
	return nil
}

// Path returns the directory as it was given to OpenDir.
func (d *Dir) Path() string { return d.path }

// Close releases the directory.
func (d *Dir) Close() error { return d.root.Close() }

func (d *Dir) source() source { return d }

func (d *Dir) memory() *memory { return &d.seen }

func (d *Dir) jobs() int { return runtime.GOMAXPROCS(0) }

// Resolve implements [Store].
func (d *Dir) Resolve(ctx context.Context, ref string) (Image, error) {
	entries, err := d.index()
	if err != nil {
		return Image{}, err
	}
	images, err := d.images(ctx, entries)
	if err != nil {
		return Image{}, err
	}
	one := len(images) == 1
	root, err := pick(images, ref)
	if err != nil {
		return Image{}, fmt.Errorf("layout %q: %w", d.path, err)
	}
	index := ""
	if one && isIndex(root.MediaType) {
		index = root.Digest
		if inner := root.Annotations[wrapsAnnotation]; inner != "" {
			if root, err = d.unwrap(ctx, root, inner); err != nil {
				return Image{}, err
			}
		}
	}
	img, err := resolveImage(ctx, d, root)
	if err != nil {
		return Image{}, err
	}
	img.Index = index
	return img, nil
}

// unwrap returns the one manifest in an index that Fetch made.
func (d *Dir) unwrap(ctx context.Context, index descriptor, inner string) (descriptor, error) {
	n, err := load(ctx, d, index)
	if err != nil {
		return descriptor{}, err
	}
	if len(n.doc.Manifests) != 1 || n.doc.Manifests[0].Digest != inner || !isManifest(n.doc.Manifests[0].MediaType) {
		return descriptor{}, fmt.Errorf("index.json: %w: %s does not wrap %q", ErrCorrupt, index.Digest, inner)
	}
	return n.doc.Manifests[0], nil
}

// images returns the entries of index.json that are no referrers, each digest once.
func (d *Dir) images(ctx context.Context, entries []descriptor) ([]descriptor, error) {
	var out []descriptor
	for _, e := range entries {
		if !isIndex(e.MediaType) && !isManifest(e.MediaType) {
			continue
		}
		n, err := load(ctx, d, e)
		if err != nil {
			return nil, err
		}
		if n.doc.Subject == nil {
			out = append(out, e)
		}
	}
	return out, nil
}

// pick finds the entry that ref means.
func pick(images []descriptor, ref string) (descriptor, error) {
	var found []descriptor
	for _, e := range images {
		if ref == "" || ref == e.Digest || ref == e.Annotations[nameAnnotation] || ref == e.Annotations[wrapsAnnotation] {
			found = append(found, e)
		}
	}
	found = slices.CompactFunc(found, func(a, b descriptor) bool { return a.Digest == b.Digest })
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(images) == 0:
		return descriptor{}, errors.New("it holds no image")
	case len(found) == 0:
		return descriptor{}, hint.Misuse(fmt.Errorf("it holds no image %q: %w", ref, ErrNotFound), "it holds %s", names(images))
	}
	return descriptor{}, hint.Misuse(fmt.Errorf("it holds %d images", len(found)), "name one: %s", names(images))
}

func names(images []descriptor) string {
	var out []string
	for _, e := range images {
		if n := e.Annotations[nameAnnotation]; n != "" {
			out = append(out, fmt.Sprintf("%q (%s)", n, e.Digest))
			continue
		}
		out = append(out, e.Digest)
	}
	return strings.Join(out, ", ")
}

// Attached implements [Store]. It looks in index.json and in the indexes listed there.
func (d *Dir) Attached(ctx context.Context, digest, artifactType string) ([]Artifact, error) {
	return attached(ctx, d, digest, artifactType)
}

func (d *Dir) referrers(ctx context.Context, digest, _ string) ([]descriptor, error) {
	entries, err := d.index()
	if err != nil {
		return nil, err
	}
	all := map[descriptorKey]descriptor{}
	if err := d.listed(ctx, entries, 0, all); err != nil {
		return nil, err
	}
	var out []descriptor
	for _, e := range all {
		if isManifest(e.MediaType) && e.Digest != digest {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b descriptor) int { return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Size, b.Size)) })
	return out, nil
}

// listed adds to all the manifests in entries and in the indexes among them, and the indexes, each once: indexes that list each other
// many times over would otherwise be walked for ever.
func (d *Dir) listed(ctx context.Context, entries []descriptor, depth int, all map[descriptorKey]descriptor) error {
	for _, e := range entries {
		k := descriptorKey{e.Digest, e.Size}
		if _, ok := all[k]; ok || !isManifest(e.MediaType) && (!isIndex(e.MediaType) || depth > maxIndexNest) {
			continue
		}
		if all[k] = e; len(all) > maxManifests {
			return fmt.Errorf("index.json: %w: more than %d manifests", ErrCorrupt, maxManifests)
		}
		if isManifest(e.MediaType) {
			continue
		}
		n, err := load(ctx, d, e)
		if err != nil {
			return err
		}
		if err := d.listed(ctx, n.doc.Manifests, depth+1, all); err != nil {
			return err
		}
	}
	return nil
}

// Check reads every blob that index.json reaches and compares it with its digest and size. The error for the first
// that is missing or wrong is an [ErrCorrupt] that names the file.
func (d *Dir) Check(ctx context.Context) error {
	entries, err := d.index()
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(d.jobs())
	seen := map[descriptorKey]bool{}
	buffers := sync.Pool{New: func() any { return new([copyBuffer]byte) }} // fewer calls than io.Discard makes
	for _, e := range entries {
		t, err := walk(ctx, d, e)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for _, b := range t.blobs {
			if k := (descriptorKey{b.Digest, b.Size}); !seen[k] {
				seen[k] = true
				g.Go(func() error {
					return d.read(gctx, b, func(r io.Reader) error {
						buf := buffers.Get().(*[copyBuffer]byte)
						defer buffers.Put(buf)
						_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf[:])
						return err
					})
				})
			}
		}
	}
	return g.Wait()
}

type descriptorKey struct {
	digest string
	size   int64
}

// index returns the entries of index.json.
func (d *Dir) index() ([]descriptor, error) {
	raw, err := d.file("index.json", maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("index.json: %w: it is missing", ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	doc, err := parseManifest(raw, typeIndex)
	if err != nil {
		return nil, fmt.Errorf("index.json: %w: %w", ErrCorrupt, err)
	}
	return doc.Manifests, nil
}

// manifest implements source.
func (d *Dir) manifest(_ context.Context, want descriptor) ([]byte, error) {
	if want.Size > maxManifest {
		return nil, fmt.Errorf("%s: %w: a manifest of %d bytes, at most %d are read", blobFile(want.Digest), ErrCorrupt, want.Size, maxManifest)
	}
	name := blobFile(want.Digest)
	raw, err := d.file(name, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: it is missing", name, ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	if err := want.same(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return raw, nil
}

// read implements source.
func (d *Dir) read(ctx context.Context, want descriptor, sink func(io.Reader) error) error {
	f, err := d.open(want)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	v := newVerifier(withContext{ctx, f}, want)
	err = sink(v)
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", blobFile(want.Digest), err)
	}
	return nil
}

// open opens a blob of the right size; its content is not verified yet.
func (d *Dir) open(want descriptor) (*os.File, error) {
	name := blobFile(want.Digest)
	f, size, err := d.regular(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: it is missing", name, ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	if size != want.Size {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w: %d bytes, the descriptor says %d", name, ErrCorrupt, size, want.Size)
	}
	return f, nil
}

// file reads a whole small file.
func (d *Dir) file(name string, limit int64) ([]byte, error) {
	f, size, err := d.regular(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if size > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are read", name, ErrCorrupt, size, limit)
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(d.path, name), err)
	}
	return raw, nil
}

// regular opens a file that must be regular, as must be the directories on the way: a link is never followed, and
// opening a pipe does not wait for its other end.
func (d *Dir) regular(name string) (*os.File, int64, error) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := d.root.Lstat(dir); err == nil && !info.IsDir() {
			return nil, 0, fmt.Errorf("%s: %w: not a directory", dir, ErrCorrupt)
		}
	}
	before, err := d.root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !before.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: %w: not a regular file", name, ErrCorrupt)
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil || !os.SameFile(before, info) {
		_ = f.Close()
		return nil, 0, fmt.Errorf("%s: %w: replaced while it was opened", name, ErrCorrupt)
	}
	return f, info.Size(), nil
}
