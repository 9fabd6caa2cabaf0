package scan

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// limits bounds what one image may unpack to, so that a hostile layer ends in an error and not in a full disk or
// memory. Layers are unpacked to disk; each file costs about a kilobyte of memory in the file index.
type limits struct {
	bytes   int64 // all layers of one image together, unpacked
	ratio   int64 // unpacked bytes for each compressed byte of a layer, above ratioFloor
	entries int64 // files, directories and links of all layers of one image together
	path    int   // bytes of one name in a layer: what a Linux kernel can open
}

const ratioFloor = 64 << 20 // bytes a layer may unpack to whatever its ratio: sparse small layers are common

func defaultLimits() limits {
	return limits{bytes: 32 << 30, ratio: 200, entries: 1_000_000, path: 4096}
}

// zstdWindow is the largest window a zstd layer may ask for: the format's own recommended maximum for decoders.
const zstdWindow = 128 << 20

// core gives ggcr what it needs to make an image of a checked manifest and config.
type core struct {
	t      target
	layers map[v1.Hash]*layer
}

func (c core) RawConfigFile() ([]byte, error)      { return c.t.rawConfig, nil }
func (c core) RawManifest() ([]byte, error)        { return c.t.rawMan, nil }
func (c core) MediaType() (types.MediaType, error) { return c.t.mediaType, nil }
func (c core) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	l, ok := c.layers[h]
	if !ok {
		return nil, fmt.Errorf("layer %q is not in the manifest", h.String())
	}
	return l, nil
}

// checkedImage is a v1.Image whose layers check digest, size, diff id and limits while they are unpacked.
type checkedImage struct {
	v1.Image
	ordered []v1.Layer
}

func (i checkedImage) Layers() ([]v1.Layer, error) { return i.ordered, nil }

// newImage makes an image of t whose layers share one budget of lim. Unpacking ends with ctx.
func newImage(ctx context.Context, s store, t target, lim limits) (v1.Image, error) {
	b := &budget{limits: lim}
	c := core{t: t, layers: map[v1.Hash]*layer{}}
	var ordered []v1.Layer
	for i, d := range t.manifest.Layers {
		l := &layer{ctx: ctx, store: s, desc: d, diffID: t.config.RootFS.DiffIDs[i], budget: b}
		c.layers[d.Digest] = l
		ordered = append(ordered, l)
	}
	img, err := partial.CompressedToImage(c)
	if err != nil {
		return nil, err
	}
	return checkedImage{Image: img, ordered: ordered}, nil
}

// budget is what is left of an image's limits, shared by layers that are unpacked side by side.
type budget struct {
	limits
	usedBytes, usedEntries atomic.Int64
}

type layer struct {
	ctx    context.Context
	store  store
	desc   v1.Descriptor
	diffID v1.Hash
	budget *budget
}

func (l *layer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *layer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *layer) Compressed() (io.ReadCloser, error)  { return l.store.open(l.desc) }

// Uncompressed streams the layer's tar. The stream ends with io.EOF only when every byte was read, the compressed
// bytes have the descriptor's digest, the unpacked ones the config's diff id, and all limits held.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	f, err := l.store.open(l.desc)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	go func() {
		if err := errors.Join(l.unpack(f, pw), f.Close()); err != nil {
			pw.CloseWithError(&layerError{digest: l.desc.Digest.String(), err: err})
			return
		}
		pw.Close()
	}()
	return pr, nil
}

// layerError says what is wrong with a layer, without the words of the library that asked for it.
type layerError struct {
	digest string
	err    error
}

func (e *layerError) Error() string { return fmt.Sprintf("layer %q: %v", e.digest, e.err) }

func (e *layerError) Unwrap() error { return e.err }

// unpack writes the layer's tar to out. When the blob is not what its digest says, that is the error, whatever else
// the wrong bytes lead to.
func (l *layer) unpack(f *os.File, out io.Writer) error {
	compressed := &meter{r: f, hash: sha256.New()}
	unpacking := l.decompress(compressed, out)
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, compressed); err != nil {
		return err
	}
	if got := compressed.sum(); got != l.desc.Digest.Hex {
		return fmt.Errorf("content has digest sha256:%s", got)
	}
	return unpacking
}

func (l *layer) decompress(compressed *meter, out io.Writer) error {
	open, err := decompressor(l.desc.MediaType)
	if err != nil {
		return err
	}
	tarball, err := open(bufio.NewReaderSize(compressed, 1<<20))
	if err != nil {
		return err
	}
	defer tarball.Close()
	w := bufio.NewWriterSize(out, 256<<10)
	plain := &meter{r: tarball, hash: sha256.New(), check: func(n, total int64) error {
		if total > ratioFloor && total/l.budget.ratio > compressed.total {
			return fmt.Errorf("unpacks to more than %d times its size", l.budget.ratio)
		}
		if l.budget.usedBytes.Add(n) > l.budget.bytes {
			return fmt.Errorf("image unpacks to more than %d bytes", l.budget.bytes)
		}
		return l.ctx.Err()
	}}
	tee := io.TeeReader(plain, w)
	if err := l.walk(tar.NewReader(tee)); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return err
	}
	if got := plain.sum(); got != l.diffID.Hex {
		return fmt.Errorf("unpacked content has digest sha256:%s, config says %s", got, l.diffID.String())
	}
	return w.Flush()
}

// walk reads the tar to its end, counting entries.
func (l *layer) walk(tr *tar.Reader) error {
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(h.Name) > l.budget.path || len(h.Linkname) > l.budget.path {
			return fmt.Errorf("a name is longer than %d bytes", l.budget.path)
		}
		if l.budget.usedEntries.Add(1) > l.budget.entries {
			return fmt.Errorf("image holds more than %d files", l.budget.entries)
		}
	}
}

// decompressor returns how to unpack a layer of media type mt, or an error when it is not a kind of layer this
// package can see into: what cannot be looked at must not pass as empty.
func decompressor(mt types.MediaType) (func(io.Reader) (io.ReadCloser, error), error) {
	switch mt {
	case types.OCILayer, types.DockerLayer, types.OCIRestrictedLayer, types.DockerForeignLayer:
		return func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }, nil
	case types.OCILayerZStd, "application/vnd.docker.image.rootfs.diff.tar.zstd":
		return func(r io.Reader) (io.ReadCloser, error) {
			d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			return d.IOReadCloser(), nil
		}, nil
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer, types.OCIUncompressedRestrictedLayer:
		return func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(r), nil }, nil
	}
	return nil, fmt.Errorf("media type %q is not a layer that can be scanned", string(mt))
}

// meter hashes and counts what is read through it.
type meter struct {
	r     io.Reader
	hash  hash.Hash
	total int64
	check func(n, total int64) error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.hash.Write(p[:n])
	m.total += int64(n)
	if m.check != nil {
		if err := m.check(int64(n), m.total); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (m *meter) sum() string { return hex.EncodeToString(m.hash.Sum(nil)) }
