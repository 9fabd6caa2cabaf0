package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
)

// Limits on archives (T29, T31).
const (
	maxEntries     = 100_000   // files in one archive; a layout has one for each blob
	maxArchive     = 128 << 30 // bytes unpacked
	maxRatio       = 200       // unpacked to packed; blobs are packed already, and gzip's worst is 1032
	ratioFreely    = 256 << 20 // unpacked bytes before the ratio counts: an empty docker layer is nothing but zeros
	maxEntryName   = 1 << 10
	gzipHeaderSize = 2
	tarHeaderSize  = 512
)

// gzipMagic is what every gzip stream begins with.
var gzipMagic = []byte{0x1f, 0x8b}

// OpenArchive unpacks a tar or tar.gz into a new directory under scratch and opens it. The archive holds an image
// layout, at its top or in one directory, or is what docker save writes; of the latter, layers are stored as they
// are, not compressed, so that their bytes stay what the image's configuration names.
//
// An entry that is a link or a device, that would lie outside, or that is there twice is refused with
// [ErrCorrupt], and so is an archive beyond the limits on size, number of entries and ratio. On an error, and when
// ctx ends, what was unpacked is removed. The caller removes the directory, [Dir.Path], in the end.
func OpenArchive(ctx context.Context, file, scratch string) (*Dir, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, hint.Misuse(err, "give a tar or tar.gz of an image layout, or what docker save writes")
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, hint.Misuse(fmt.Errorf("%q is not a file", file), "give a tar or tar.gz")
	}
	dir, err := os.MkdirTemp(scratch, "archive-")
	if err != nil {
		return nil, err
	}
	d, err := openArchive(ctx, f, dir)
	if err != nil {
		return nil, fmt.Errorf("archive %q: %w", file, removing(dir, err))
	}
	return d, nil
}

// removing removes what a failed call made; its error stays the first thing said, with its hint.
func removing(dir string, err error) error {
	if rm := os.RemoveAll(dir); rm != nil {
		return errors.Join(err, rm)
	}
	return err
}

func openArchive(ctx context.Context, f io.Reader, dir string) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	x := extractor{ctx: ctx, root: root, links: map[string]bool{}}
	if err := x.all(f); err != nil {
		return nil, err
	}
	top, err := layoutIn(root)
	if err != nil {
		return nil, err
	}
	if top != "" {
		if len(x.links) > 0 {
			return nil, fmt.Errorf("%w: a layout with links", ErrCorrupt)
		}
		return OpenDir(filepath.Join(dir, top))
	}
	if _, err := root.Lstat("manifest.json"); err != nil {
		return nil, hint.Misuse(errors.New("it holds neither an image layout nor what docker save writes"), "make it with: tar -C LAYOUT -cf FILE .")
	}
	if err := convertDocker(ctx, root); err != nil {
		return nil, err
	}
	return OpenDir(dir)
}

// layoutIn finds the directory that holds the layout: the top or the only directory there; "" when there is none.
func layoutIn(root *os.Root) (string, error) {
	if _, err := root.Lstat("oci-layout"); err == nil {
		return ".", nil
	}
	list, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return "", err
	}
	if len(list) != 1 || !list[0].IsDir() {
		return "", nil
	}
	if _, err := root.Lstat(path.Join(list[0].Name(), "oci-layout")); err != nil {
		return "", nil
	}
	return list[0].Name(), nil
}

// extractor unpacks a tar into root within the limits.
type extractor struct {
	ctx     context.Context
	root    *os.Root
	entries int
	bytes   int64
	links   map[string]bool // left out: older docker save wrote a layer that is there twice as a link
}

func (x *extractor) all(f io.Reader) error {
	in := bufio.NewReaderSize(withContext{x.ctx, f}, copyBuffer)
	var r io.Reader = in
	if magic, err := in.Peek(gzipHeaderSize); err == nil && bytes.Equal(magic, gzipMagic) {
		packed := &counter{r: in}
		z, err := gzip.NewReader(bufio.NewReader(packed))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		r = &ratio{r: z, packed: packed}
	}
	content := bufio.NewReaderSize(r, copyBuffer)
	header, err := content.Peek(tarHeaderSize)
	if (err == nil || errors.Is(err, io.EOF)) && !bytes.Contains(header, []byte("ustar")) {
		return hint.Misuse(errors.New("it is no tar"), "give a tar or tar.gz of an image layout, or what docker save writes")
	}
	tr := tar.NewReader(content)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = x.entry(h, tr)
		}
		if x.ctx.Err() != nil {
			return x.ctx.Err()
		}
		var pathErr *fs.PathError
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.As(err, &pathErr) {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if err != nil {
			return err
		}
	}
}

func (x *extractor) entry(h *tar.Header, r io.Reader) error {
	if x.entries++; x.entries > maxEntries {
		return fmt.Errorf("%w: more than %d entries", ErrCorrupt, maxEntries)
	}
	name := path.Clean(h.Name)
	if len(h.Name) > maxEntryName || !filepath.IsLocal(name) || strings.ContainsAny(h.Name, "\\\x00") {
		return fmt.Errorf("%w: entry %.100q lies outside or has no proper name", ErrCorrupt, h.Name)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("%w: entry %q has holes", ErrCorrupt, h.Name) // a few bytes that unpack to any number
		}
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		return x.root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		if path.Base(name) == "layer.tar" {
			x.links[name] = true
			return nil
		}
	case tar.TypeReg:
		return x.file(name, h.Size, r)
	}
	return fmt.Errorf("%w: entry %q is neither file nor directory", ErrCorrupt, h.Name)
}

func (x *extractor) file(name string, size int64, r io.Reader) error {
	if x.bytes += size; x.bytes > maxArchive {
		return fmt.Errorf("%w: more than %d bytes", ErrCorrupt, int64(maxArchive))
	}
	if err := x.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: entry %q is there twice", ErrCorrupt, name)
	}
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, make([]byte, copyBuffer))
	return errors.Join(err, f.Close())
}

// counter counts the packed bytes read.
type counter struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ratio ends reading when far more comes out than went in.
type ratio struct {
	r      io.Reader
	packed *counter
	n      int64
}

// Read implements io.Reader.
func (z *ratio) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	if z.n += int64(n); z.n > ratioFreely && z.n/maxRatio > z.packed.n {
		return 0, fmt.Errorf("%w: it unpacks to more than %d times its size", ErrCorrupt, maxRatio)
	}
	return n, err
}
