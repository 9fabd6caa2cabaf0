package scan

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/spf13/afero"
	"golang.org/x/sys/unix"

	"github.com/sealyard/sealyard/internal/hint"
)

const (
	maxArchive   = 4 << 30  // bytes of a database archive; Anchore's has about 0.1 GB
	maxDB        = 32 << 30 // bytes of an unpacked database; Anchore's has about 2 GB
	maxDBEntries = 64       // files of an archive; grype's own have one to three
	lockPoll     = 200 * time.Millisecond
	importPrefix = ".import-"
)

// Import makes the database in an archive (tar, tar.gz or tar.zst, as `grype db import` takes it) the current one under
// root. digest, unless empty, is the archive's expected "sha256:…". What root held before stays in use on any error.
func Import(ctx context.Context, archive, digest, root string) (DBInfo, error) {
	if err := checkDigest(digest); err != nil {
		return DBInfo{}, err
	}
	unlock, err := lock(ctx, root)
	if err != nil {
		return DBInfo{}, fmt.Errorf("database directory: %w", err)
	}
	defer unlock()
	return importLocked(ctx, archive, digest, root, filepath.Base(archive))
}

func checkDigest(digest string) error {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if digest == "" || ok && isHex256(hex) {
		return nil
	}
	return hint.Misuse(fmt.Errorf("digest %q is no sha256 digest", digest), "write it as sha256: and 64 hex digits")
}

func importLocked(ctx context.Context, archive, digest, root, source string) (info DBInfo, err error) {
	tmp, err := os.MkdirTemp(root, importPrefix)
	if err != nil {
		return info, fmt.Errorf("database directory: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Mkdir(dbDir(tmp), 0o755); err != nil {
		return info, fmt.Errorf("database directory: %w", err)
	}
	hex, err := extract(ctx, archive, dbDir(tmp))
	if err != nil {
		return info, fmt.Errorf("database archive %q: %w", archive, err)
	}
	if digest != "" && hex != strings.TrimPrefix(digest, "sha256:") {
		return info, hint.Wrap(fmt.Errorf("database archive %q has digest sha256:%s, expected %q", archive, hex, digest),
			"fetch the archive again, or give the digest of the one you trust")
	}
	if err := prepare(dbDir(tmp), source); err != nil {
		return info, fmt.Errorf("database archive %q: %w", archive, err)
	}
	db, err := openImported(tmp, hex)
	if err != nil {
		return info, fmt.Errorf("database archive %q: %w", archive, err)
	}
	if err := db.Close(); err != nil {
		return info, err
	}
	if err := activate(root, tmp, hex); err != nil {
		return info, fmt.Errorf("database directory: %w", err)
	}
	info = db.info
	info.Path = dbDir(filepath.Join(root, hex))
	return info, nil
}

// lock makes root and holds it against other imports until the returned function is called. Leftovers of imports that
// were killed are removed.
func lock(ctx context.Context, root string) (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(root, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(lockPoll):
		}
	}
	if err := removeMatching(root, func(name string) bool { return strings.HasPrefix(name, importPrefix) }); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

func removeMatching(dir string, match func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if match(e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// extract writes the database file of an archive into dir and returns the hex digest of the archive.
func extract(ctx context.Context, archive, dir string) (string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file")
	}
	if info.Size() > maxArchive {
		return "", fmt.Errorf("larger than %d bytes", int64(maxArchive))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	sum := &meter{r: f, hash: sha256.New(), check: func(_, _ int64) error { return ctx.Err() }}
	plain, err := decompress(bufio.NewReaderSize(sum, 1<<20))
	if err != nil {
		return "", err
	}
	defer plain.Close()
	if err := extractDB(root, plain, maxDB); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, sum); err != nil {
		return "", err
	}
	return sum.sum(), nil
}

// decompress looks at the first bytes, not at the file's name.
func decompress(r *bufio.Reader) (io.ReadCloser, error) {
	magic, err := r.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("too short: %w", err)
	}
	switch {
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case magic[0] == 0x1f && magic[1] == 0x8b:
		return gzip.NewReader(r)
	}
	return io.NopCloser(r), nil
}

// extractDB writes the one file that matters out of a tar, and nothing else: names in the archive choose no path.
func extractDB(root *os.Root, r io.Reader, limit int64) error {
	tr := tar.NewReader(r)
	found := false
	for entries := 0; ; entries++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if entries >= maxDBEntries {
			return fmt.Errorf("more than %d files", maxDBEntries)
		}
		if path.Clean("/"+h.Name) != "/"+v6.VulnerabilityDBFileName {
			continue
		}
		if h.Typeflag != tar.TypeReg || found {
			return fmt.Errorf("%q is not one regular file", h.Name)
		}
		if found = true; h.Size > limit {
			return fmt.Errorf("%q is larger than %d bytes", h.Name, limit)
		}
		f, err := root.OpenFile(v6.VulnerabilityDBFileName, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, tr)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("it holds no %q", v6.VulnerabilityDBFileName)
	}
	_, err := io.Copy(io.Discard, io.LimitReader(r, limit))
	return err
}

// prepare builds the indexes that archives come without, records the checksum, and makes the file read-only.
func prepare(dir, source string) error {
	if err := v6.Hydrater()(dir); err != nil {
		return err
	}
	if _, err := v6.WriteImportMetadata(afero.NewOsFs(), dir, source); err != nil {
		return err
	}
	return os.Chmod(filepath.Join(dir, v6.VulnerabilityDBFileName), 0o444)
}

// activate makes the import in tmp the current one and removes those that nobody can be reading any more.
func activate(root, tmp, hex string) error {
	previous, err := current(root)
	if err != nil {
		previous = ""
	}
	final := filepath.Join(root, hex)
	if _, err := openAndClose(final, hex); err != nil {
		if err := os.RemoveAll(final); err != nil {
			return err
		}
		if err := os.Rename(tmp, final); err != nil {
			return err
		}
	}
	next := filepath.Join(root, importPrefix+currentFile)
	if err := os.WriteFile(next, []byte(hex+"\n"), 0o644); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(root, currentFile)); err != nil {
		return err
	}
	return removeMatching(root, func(name string) bool { return isHex256(name) && name != hex && name != previous })
}

func openAndClose(dir, hex string) (DBInfo, error) {
	db, err := openImported(dir, hex)
	if err != nil {
		return DBInfo{}, err
	}
	return db.info, db.Close()
}
