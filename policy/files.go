package policy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Limits on a bundle. The shipped one has a dozen files and 60 KiB; ten times the largest published rule
// collections still fits, and a bomb does not.
const (
	MaxBundle     = 16 << 20 // bytes, compressed and again decompressed
	maxBundleFile = 1000     // entries, whatever they are
	maxDataDepth  = 16       // directories above a file
)

// Names inside a bundle. Everything else is either refused or not policy.
const (
	manifestFile = ".manifest"
	schemaFile   = "data.schema.json"
	dataFile     = "data.json"
)

// files are the policy files of a bundle by slash-separated path, each already known to be of a kind we read.
type files map[string][]byte

type fileKind int

const (
	kindIgnored fileKind = iota // README, licence, tests
	kindPolicy                  // rego, data, manifest, schema
	kindRefused                 // looks like policy or data, and would not be applied
	kindSigned                  // OPA's signature of all of it
)

// kindOfFile tells what a file of a bundle is. What looks like a part of the policy but would not be applied is
// refused: an author must not believe in a rule that nobody evaluates (T15, T17).
func kindOfFile(name string) (fileKind, string) {
	base := path.Base(name)
	switch {
	case strings.HasSuffix(base, "_test.rego"):
		return kindIgnored, ""
	case strings.HasSuffix(base, ".rego"), base == "data.json", base == "data.yaml", name == manifestFile, name == schemaFile:
		return kindPolicy, ""
	case name == signatureFile:
		return kindSigned, ""
	case base == signatureFile:
		return kindRefused, "it is not at the root of the bundle"
	case base == "patch.json":
		return kindRefused, "delta bundles are not supported"
	case slices.Contains([]string{".json", ".yaml", ".yml", ".wasm", ".pb", ".manifest"}, path.Ext(base)):
		return kindRefused, "only *.rego, data.json, data.yaml, " + manifestFile + " and " + schemaFile + " are read"
	}
	return kindIgnored, ""
}

// collector gathers files under the limits, from whatever source.
type collector struct {
	contents
	whole   bool // also keep what is no policy: a signature must cover it
	entries int
	left    int64
}

func newCollector(whole bool) *collector {
	return &collector{contents: contents{files: files{}, rest: files{}}, whole: whole, left: MaxBundle}
}

// add reads one regular file. Its name must be a clean relative path.
func (c *collector) add(name string, open func() (io.ReadCloser, error)) error {
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00\n\r") || strings.Count(name, "/") > maxDataDepth {
		return fmt.Errorf("bundle holds an unsafe path %q", clip(name))
	}
	kind, why := kindOfFile(name)
	to := c.files
	switch {
	case kind == kindRefused:
		return fmt.Errorf("%s: %s", clip(name), why)
	case kind == kindIgnored && !c.whole:
		return nil
	case kind == kindIgnored:
		to = c.rest
	}
	if _, dup := to[name]; dup || kind == kindSigned && c.signature != nil {
		return fmt.Errorf("bundle holds %q twice", clip(name))
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, c.left+1))
	if err != nil {
		return fmt.Errorf("read %q: %w", clip(name), err)
	}
	if c.left -= int64(len(data)); c.left < 0 {
		return errTooBig
	}
	if kind == kindSigned {
		c.signature = append([]byte{}, data...)
		return nil
	}
	to[name] = data
	return nil
}

var errTooBig = fmt.Errorf("bundle is larger than %d MiB", MaxBundle>>20)

func (c *collector) count() error {
	if c.entries++; c.entries > maxBundleFile {
		return fmt.Errorf("bundle has more than %d files", maxBundleFile)
	}
	return nil
}

// readFS collects a directory. Hidden directories (.git) are not part of a bundle; links are refused, for what
// they point to can change without the bundle changing.
func readFS(ctx context.Context, fsys fs.FS, whole bool) (contents, error) {
	c := newCollector(whole)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if err := c.count(); err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%q is not a regular file", clip(name))
		}
		return c.add(name, func() (io.ReadCloser, error) { return fsys.Open(name) })
	})
	return c.contents, err
}

// readArchive collects a tar.gz. Nothing is ever written to disk from it.
func readArchive(ctx context.Context, data []byte, whole bool) (contents, error) {
	if len(data) > MaxBundle {
		return contents{}, errTooBig
	}
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return contents{}, fmt.Errorf("not a tar.gz: %w", err)
	}
	c := newCollector(whole)
	unpacked := &capped{r: gz, left: MaxBundle + maxBundleFile*1024} // contents, and a header per entry
	tr := tar.NewReader(unpacked)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err := errors.Join(err, ctx.Err(), c.count()); err != nil {
			return contents{}, fmt.Errorf("read tar.gz: %w", err)
		}
		if err := c.addEntry(h, tr); err != nil {
			return contents{}, err
		}
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil { // the gzip checksum is at the very end
		return contents{}, fmt.Errorf("read tar.gz: %w", err)
	}
	return c.contents, nil
}

func (c *collector) addEntry(h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir, tar.TypeXGlobalHeader: // git archive writes the latter
		return nil
	default:
		return fmt.Errorf("%q is not a regular file", clip(h.Name))
	}
	// opa build names entries from the root of the bundle ("/data.json"), tar from here ("./data.json").
	name := strings.TrimPrefix(strings.TrimPrefix(h.Name, "./"), "/")
	return c.add(name, func() (io.ReadCloser, error) { return io.NopCloser(r), nil })
}

// capped fails, rather than ends, when more than left bytes are read.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, errTooBig
	}
	return n, err
}

// tarball writes files as the one tar that stands for them: sorted, no times, no owners.
func tarball(f files) ([]byte, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(f[name])), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if err := tw.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := tw.Write(f[name]); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// gzipped compresses data. Writing to a buffer cannot fail.
func gzipped(data []byte) []byte {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	_, _ = zw.Write(data)
	_ = zw.Close()
	return buf.Bytes()
}
