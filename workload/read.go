package workload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
)

// advice is what helps with most manifests that cannot be read: a chart is not yet a manifest.
const advice = "give Kubernetes manifests; of a chart or an overlay what helm template or kubectl kustomize writes"

// Read reads manifests from files and directories. Of a directory it takes what ends in .yaml, .yml or .json, at any depth. Every
// error about what they are is marked with hint.Misuse and begins with file and line.
func Read(ctx context.Context, paths []string) (Facts, error) {
	r := reader{kinds: kinds(), left: MaxSize, facts: Facts{Files: []File{}, Documents: []Document{}}}
	for _, name := range paths {
		if err := r.path(ctx, name); err != nil {
			var disk *fs.PathError
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &disk) {
				return Facts{}, fmt.Errorf("manifests: %w", err)
			}
			return Facts{}, hint.Misuse(fmt.Errorf("manifests: %w", err), advice)
		}
	}
	if len(r.facts.Documents) == 0 {
		return Facts{}, hint.Misuse(fmt.Errorf("manifests: there is no Kubernetes object in %q", paths), advice)
	}
	out, err := r.facts.JSON()
	if err == nil && len(out) > maxFacts {
		err = hint.Misuse(fmt.Errorf("manifests: what is to be signed of them has %d bytes, at most %d are", len(out), maxFacts), "give the manifests of one application")
	}
	return r.facts, err
}

// reader gathers facts under the limits.
type reader struct {
	kinds map[string]func(*Document, []byte) error
	left  int64
	facts Facts
}

func (r *reader) path(ctx context.Context, name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return fmt.Errorf("read %q: %w", name, errors.Unwrap(err))
	case info.IsDir():
		return r.dir(ctx, name)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is neither a directory nor a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return r.file(shown(name), f)
}

// shown is how evidence names a path: one that is absolute tells of this machine, so only its last part is kept.
func shown(name string) string {
	if filepath.IsAbs(name) {
		name = filepath.Base(name)
	}
	return filepath.ToSlash(filepath.Clean(name))
}

func (r *reader) dir(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)):
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%q is a link or no regular file", path.Join(shown(dir), name))
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		return r.file(path.Join(shown(dir), name), f)
	})
}

func (r *reader) file(name string, f *os.File) (err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	if len(r.facts.Files) == maxFiles {
		return fmt.Errorf("there are more than %d files", maxFiles)
	}
	raw, err := io.ReadAll(io.LimitReader(f, r.left+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if r.left -= int64(len(raw)); r.left < 0 {
		return fmt.Errorf("%s: the files together have more than %d bytes", name, MaxSize)
	}
	if slices.ContainsFunc(r.facts.Files, func(f File) bool { return f.Name == name }) {
		return fmt.Errorf("%s: there are two files of this name", name)
	}
	sum := sha256.Sum256(raw)
	r.facts.Files = append(r.facts.Files, File{Name: name, Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}})
	return r.bytes(name, raw)
}

// bytes reads the documents of one file.
func (r *reader) bytes(name string, raw []byte) error {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	for part, err := range parts(raw) {
		if err == nil {
			err = r.document(source{file: name, line: part.line, node: part.node}, part.json, maxLists)
		}
		if err != nil {
			var m misplaced
			if errors.As(err, &m) {
				part.line = m.line
			}
			return fmt.Errorf("%s:%d: %w", name, part.line, err)
		}
	}
	return nil
}

// oneLine folds the message of a library into one line.
func oneLine(err error) error { return errors.New(strings.Join(strings.Fields(err.Error()), " ")) }
