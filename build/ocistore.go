package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ociStore is an OCI layout that the engine may read a named context from. It never writes and never follows a link
// out of the layout. The engine checks every digest.
type ociStore struct{ root *os.Root }

// openOCILayout opens directory[:tag|@digest] and returns the digest that is meant.
func openOCILayout(ref string) (*ociStore, string, error) {
	dir, want, byDigest := strings.Cut(ref, "@")
	if !byDigest {
		if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
			dir, want = ref[:i], ref[i+1:]
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, "", err
	}
	s := &ociStore{root}
	if byDigest {
		if err := digest.Digest(want).Validate(); err != nil {
			return nil, "", err
		}
		return s, want, nil
	}
	d, err := s.find(want)
	return s, d, err
}

// find returns the digest of the entry of index.json with this tag, or of the only entry.
func (s *ociStore) find(tag string) (string, error) {
	f, err := s.root.Open(ocispec.ImageIndexFile)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	var index ocispec.Index
	if err := json.NewDecoder(io.LimitReader(f, maxManifest)).Decode(&index); err != nil {
		return "", fmt.Errorf("index.json: %w", err)
	}
	if tag == "" && len(index.Manifests) == 1 {
		return index.Manifests[0].Digest.String(), nil
	}
	if tag == "" {
		tag = "latest"
	}
	for _, m := range index.Manifests {
		name := m.Annotations[ocispec.AnnotationRefName]
		if name == tag || strings.HasSuffix(name, ":"+tag) {
			return m.Digest.String(), m.Digest.Validate()
		}
	}
	return "", fmt.Errorf("no image %q in index.json", tag)
}

func (s *ociStore) open(d digest.Digest) (*os.File, int64, error) {
	if err := d.Validate(); err != nil {
		return nil, 0, err
	}
	name := path.Join("blobs", d.Algorithm().String(), d.Encoded())
	f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not hold us up
	if err != nil {
		return nil, 0, fmt.Errorf("blob %s: %w: %w", d, errdefs.ErrNotFound, err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, 0, fmt.Errorf("blob %s: %w: not a regular file", d, errdefs.ErrNotFound)
	}
	return f, info.Size(), nil
}

// Info tells a blob's size.
func (s *ociStore) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	f, size, err := s.open(d)
	if err != nil {
		return content.Info{}, err
	}
	return content.Info{Digest: d, Size: size}, f.Close()
}

// ReaderAt opens a blob.
func (s *ociStore) ReaderAt(_ context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	f, size, err := s.open(d.Digest)
	if err != nil {
		return nil, err
	}
	return sizedFile{f, size}, nil
}

type sizedFile struct {
	*os.File
	size int64
}

func (f sizedFile) Size() int64 { return f.size }

var errReadOnly = fmt.Errorf("layout is read-only: %w", errors.Join(errdefs.ErrNotImplemented))

// Walk is not offered.
func (s *ociStore) Walk(context.Context, content.WalkFunc, ...string) error { return errReadOnly }

// Delete is not offered.
func (s *ociStore) Delete(context.Context, digest.Digest) error { return errReadOnly }

// Update is not offered.
func (s *ociStore) Update(context.Context, content.Info, ...string) (content.Info, error) {
	return content.Info{}, errReadOnly
}

// Status is not offered.
func (s *ociStore) Status(context.Context, string) (content.Status, error) {
	return content.Status{}, errReadOnly
}

// ListStatuses is not offered.
func (s *ociStore) ListStatuses(context.Context, ...string) ([]content.Status, error) {
	return nil, errReadOnly
}

// Abort is not offered.
func (s *ociStore) Abort(context.Context, string) error { return errReadOnly }

// Writer is not offered.
func (s *ociStore) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return nil, errReadOnly
}
