package build

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// exportStore is where an engine exports to. What lies on this disk already is copied from there, so that the engine
// need not send it.
type exportStore struct {
	content.Store
	to     export
	from   []*ociStore
	copied atomic.Int64 // bytes
}

// openExport makes the store of an export to dir. Each of known is a directory with blobs as an image layout has them;
// one that is not there is passed over.
func openExport(dir string, known []string) (*exportStore, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	store, err := contentlocal.NewStore(dir)
	if err != nil {
		return nil, err
	}
	s := &exportStore{Store: store, to: export{dir}}
	for _, k := range known {
		if root, err := os.OpenRoot(k); err == nil {
			s.from = append(s.from, &ociStore{root})
		}
	}
	return s, nil
}

func (s *exportStore) close() {
	for _, f := range s.from {
		_ = f.root.Close()
	}
}

// Writer is what the engine asks for before it sends a blob. It takes "already there" for an answer.
func (s *exportStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	for _, known := range s.from {
		if o.Desc.Size > 0 && known.copyTo(ctx, s.to, o.Desc) == nil {
			s.copied.Add(o.Desc.Size)
			return nil, fmt.Errorf("blob %s: %w", o.Desc.Digest, errdefs.ErrAlreadyExists)
		}
	}
	return s.Store.Writer(ctx, opts...)
}

// copyTo copies a blob whose content is what its digest says. When it is not, or not there, nothing is left behind.
func (s *ociStore) copyTo(ctx context.Context, to export, d ocispec.Descriptor) (err error) {
	f, size, err := s.open(d.Digest)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	defer context.AfterFunc(ctx, func() { _ = f.Close() })() // ends the copy
	if size != d.Size {
		return fmt.Errorf("blob %s: %d bytes, not %d", d.Digest, size, d.Size)
	}
	path := to.path(d.Digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".copy-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(out.Name())
		}
	}()
	check := d.Digest.Verifier()
	_, err = io.Copy(io.MultiWriter(out, check), io.LimitReader(f, size))
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if !check.Verified() {
		return fmt.Errorf("blob %s: content does not match its digest", d.Digest)
	}
	return os.Rename(out.Name(), path)
}

// writeTop writes index.json of an export: one entry, for what the engine says it exported.
func (e export) writeTop(response map[string]string) error {
	raw, err := base64.StdEncoding.DecodeString(response[exptypes.ExporterImageDescriptorKey])
	if err != nil {
		return fmt.Errorf("exported descriptor: %w", err)
	}
	var d ocispec.Descriptor
	if err := json.Unmarshal(raw, &d); err != nil {
		return fmt.Errorf("exported descriptor: %w", err)
	}
	return ociindex.NewStoreIndex(e.dir).Put(d)
}

// blobDirs are the directories below the state directory of an engine on this machine that hold its blobs.
func blobDirs(state string) []string {
	found, err := filepath.Glob(filepath.Join(state, "runc-*", "content"))
	if err != nil {
		return nil // a state directory whose name is a pattern: the engine sends everything
	}
	return found
}
