package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// source is what Dir and Repository have in common underneath: verified bytes by digest.
type source interface {
	// manifest returns the bytes of a manifest or an index, verified.
	manifest(ctx context.Context, d descriptor) ([]byte, error)
	// read gives a blob's bytes to sink, which must read to the end and start over when it is called again. When
	// read returns nil, the last call of sink saw exactly the bytes that d promises.
	read(ctx context.Context, d descriptor, sink func(io.Reader) error) error
	// referrers lists the manifests that may have that subject; the list may be wider than that and than
	// artifactType.
	referrers(ctx context.Context, digest, artifactType string) ([]descriptor, error)
	// jobs is how many requests may be under way at once.
	jobs() int
}

// readAll reads a blob into memory; the caller has bounded d.Size.
func readAll(ctx context.Context, s source, d descriptor) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(int(min(d.Size, maxPromised)) + bytes.MinRead)
	err := s.read(ctx, d, func(r io.Reader) error {
		buf.Reset()
		_, err := buf.ReadFrom(r)
		return err
	})
	return buf.Bytes(), err
}

// maxPromised is how many of the bytes that a descriptor promises are set aside before they come.
const maxPromised = 1 << 20

// verifier passes bytes through and turns the end of input into an error unless they were what d promises.
type verifier struct {
	r    io.Reader
	d    descriptor
	sum  hash.Hash
	n    int64
	done bool // the end was reached and everything was right
}

func newVerifier(r io.Reader, d descriptor) *verifier {
	return &verifier{r: r, d: d, sum: sha256.New()}
}

// Read implements io.Reader.
func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.n += int64(n)
	if v.n > v.d.Size {
		return 0, fmt.Errorf("%w: more than the %d bytes of its descriptor", ErrCorrupt, v.d.Size)
	}
	v.sum.Write(p[:n])
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if v.n != v.d.Size {
		return n, fmt.Errorf("%w: %d bytes, the descriptor says %d", ErrCorrupt, v.n, v.d.Size)
	}
	if got := "sha256:" + hex.EncodeToString(v.sum.Sum(nil)); got != v.d.Digest {
		return n, fmt.Errorf("%w: content is %s", ErrCorrupt, got)
	}
	v.done = true
	return n, io.EOF
}

// check is for after the sink: it reads on to the end when the sink stopped just before it.
func (v *verifier) check() error {
	if v.done {
		return nil
	}
	if _, err := io.Copy(io.Discard, v); err != nil {
		return err
	}
	return nil
}

// withContext makes reading end when ctx does.
type withContext struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c withContext) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// node is a manifest or an index with its bytes.
type node struct {
	descriptor
	doc document
	raw []byte
}

// listing is the descriptor by which an index lists the node as a referrer: with its type and all its annotations.
func (n node) listing() descriptor {
	return descriptor{MediaType: n.MediaType, Digest: n.Digest, Size: n.Size,
		ArtifactType: n.doc.artifactType(), Annotations: n.doc.Annotations}
}

// tree is everything that an image consists of.
type tree struct {
	nodes []node // children before parents; the root is last
	blobs []descriptor
}

// walker builds a tree; each digest is visited once.
type walker struct {
	src   source
	seen  map[string]descriptor
	bytes int64
	tree
}

// walk reads every manifest below root, anew, and lists every blob, each digest once.
func walk(ctx context.Context, s source, root descriptor) (tree, error) {
	w := walker{src: forgetful{s}, seen: map[string]descriptor{}}
	if err := w.visit(ctx, root, 0); err != nil {
		return tree{}, err
	}
	return w.tree, nil
}

func (w *walker) visit(ctx context.Context, d descriptor, depth int) error {
	if prev, ok := w.seen[d.Digest]; ok {
		if prev.Size != d.Size {
			return fmt.Errorf("%s: %w: listed with %d and with %d bytes", d.Digest, ErrCorrupt, prev.Size, d.Size)
		}
		return nil
	}
	w.seen[d.Digest] = d
	if !isIndex(d.MediaType) && !isManifest(d.MediaType) {
		w.blobs = append(w.blobs, d)
		return nil
	}
	if w.bytes += d.Size; depth > maxIndexNest+1 || len(w.nodes) > maxManifests || w.bytes > maxAttached {
		return fmt.Errorf("%s: %w: more than %d levels, %d manifests or %d bytes of them", d.Digest, ErrCorrupt, maxIndexNest, maxManifests, maxAttached)
	}
	n, err := load(ctx, w.src, d)
	if err != nil {
		return err
	}
	for _, c := range n.doc.children() {
		if isManifest(d.MediaType) && (isIndex(c.MediaType) || isManifest(c.MediaType)) {
			return fmt.Errorf("%s: %w: a manifest whose content is a manifest", d.Digest, ErrCorrupt)
		}
		if err := w.visit(ctx, c, depth+1); err != nil {
			return err
		}
	}
	w.nodes = append(w.nodes, n)
	return nil
}

// load reads and parses one manifest or index, unless the source did so before and remembers it.
func load(ctx context.Context, s source, d descriptor) (node, error) {
	m, ok := s.(interface{ memory() *memory })
	if !ok {
		return loadNew(ctx, s, d)
	}
	if n, ok := m.memory().recall(d); ok {
		return n, nil
	}
	n, err := loadNew(ctx, s, d)
	if err == nil {
		m.memory().keep(n)
	}
	return n, err
}

func loadNew(ctx context.Context, s source, d descriptor) (node, error) {
	raw, err := s.manifest(ctx, d)
	if err != nil {
		return node{}, err
	}
	doc, err := parseManifest(raw, d.MediaType)
	if err != nil {
		return node{}, fmt.Errorf("manifest %s: %w: %w", d.Digest, ErrCorrupt, err)
	}
	return node{descriptor: d, doc: doc, raw: raw}, nil
}

// attached implements Store.Attached for both stores.
func attached(ctx context.Context, s source, digest, artifactType string) ([]Artifact, error) {
	nodes, err := referrersOf(ctx, s, digest, artifactType)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, n := range nodes {
		var size int64
		for _, l := range n.doc.Layers {
			size += l.Size
		}
		if total += size; artifactType != "" && (size > maxArtifact || total > maxAttached) {
			return nil, fmt.Errorf("artifact %s about %s: %d bytes, at most %d each and %d together are read", n.Digest, digest, size, maxArtifact, maxAttached)
		}
	}
	out := make([]Artifact, len(nodes))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.jobs())
	for i, n := range nodes {
		g.Go(func() error {
			a, err := readArtifact(gctx, s, n, artifactType != "")
			out[i] = a
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

func readArtifact(ctx context.Context, s source, n node, content bool) (Artifact, error) {
	a := Artifact{Type: n.doc.artifactType(), Digest: n.Digest, Annotations: n.doc.Annotations}
	if n.doc.Subject != nil {
		a.Subject = n.doc.Subject.Digest
	}
	for _, l := range n.doc.Layers {
		layer := Layer{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Annotations: l.Annotations}
		if content {
			raw, err := readAll(ctx, s, l)
			if err != nil {
				return Artifact{}, fmt.Errorf("artifact %s about %s: %w", n.Digest, a.Subject, err)
			}
			layer.Content = raw
		}
		a.Layers = append(a.Layers, layer)
	}
	return a, nil
}

// referrersOf returns the manifests of one of those artifact types (none given: of every type) whose subject is
// digest, sorted by digest. What the list says of them is not believed: each is read. One that cannot be read
// is passed over only when the list names another type for it.
func referrersOf(ctx context.Context, s source, digest string, types ...string) ([]node, error) {
	types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "" })
	filter := ""
	if len(types) == 1 {
		filter = types[0]
	}
	list, err := s.referrers(ctx, digest, filter)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b descriptor) int { return strings.Compare(a.Digest, b.Digest) })
	list = slices.CompactFunc(list, func(a, b descriptor) bool { return a.Digest == b.Digest })
	var (
		mu    sync.Mutex
		held  int // bytes of manifests in found
		found []node
	)
	wanted := func(t string) bool { return len(types) == 0 || slices.Contains(types, t) }
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.jobs())
	for _, d := range list {
		g.Go(func() error {
			n, err := loadReferrer(gctx, s, d)
			if err != nil && d.ArtifactType != "" && !wanted(d.ArtifactType) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("artifact %s about %s: %w", d.Digest, digest, err)
			}
			if n.doc.Subject == nil || n.doc.Subject.Digest != digest || !wanted(n.doc.artifactType()) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if held += len(n.raw); held > maxReferrers {
				return fmt.Errorf("the manifests of the artifacts about %s: more than %d bytes", digest, maxReferrers)
			}
			found = append(found, n)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b node) int { return strings.Compare(a.Digest, b.Digest) })
	return found, nil
}

func loadReferrer(ctx context.Context, s source, d descriptor) (node, error) {
	if err := d.check(); err != nil {
		return node{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return load(ctx, s, d)
}
