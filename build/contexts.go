package build

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// namedContexts are the plan's build contexts in BuildKit's words.
type namedContexts struct {
	attrs  map[string]string
	mounts map[string]fsutil.FS
	stores map[string]*ociStore
}

// openContexts checks and opens every named context. The caller closes the result, also after an error.
func openContexts(plan Plan) (namedContexts, error) {
	n := namedContexts{attrs: map[string]string{}, mounts: map[string]fsutil.FS{}, stores: map[string]*ociStore{}}
	for _, name := range sortedKeys(plan.BuildContexts) {
		attr, err := n.open(name, plan.BuildContexts[name], plan.Exclude)
		if err != nil {
			return n, fmt.Errorf("build context %q: %w", name, err)
		}
		n.attrs["context:"+name] = attr
	}
	return n, nil
}

func (n namedContexts) open(name, source string, exclude []string) (string, error) {
	if strings.HasPrefix(source, "docker-image://") {
		return source, nil
	}
	if layout, ok := strings.CutPrefix(source, "oci-layout://"); ok {
		store, digest, err := openOCILayout(layout)
		if err != nil {
			return "", hint.Misuse(err, "write oci-layout://directory[:tag|@digest]")
		}
		id := "layout" + strconv.Itoa(len(n.stores))
		n.stores[id] = store
		return "oci-layout://" + id + "@" + digest, nil
	}
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return source, checkGitURL(source)
	}
	dir, err := filepath.Abs(source)
	if err != nil {
		return "", err
	}
	n.mounts[name], err = localFS(dir, exclude)
	return "local:" + name, err
}

// add puts the contexts into opt.
func (n namedContexts) add(opt *client.SolveOpt) {
	for k, v := range n.attrs {
		opt.FrontendAttrs[k] = v
	}
	for k, v := range n.mounts {
		opt.LocalMounts[k] = v
	}
	opt.OCIStores = make(map[string]content.Store, len(n.stores))
	for k, v := range n.stores {
		opt.OCIStores[k] = v
	}
}

func (n namedContexts) close() {
	for _, s := range n.stores {
		_ = s.root.Close()
	}
}

// workPrefix begins the names of the directories that runs make while they work.
const workPrefix = ".sealyard-"

// excluded lists those of the given paths that lie in root, relative to it. Links on the way are followed, so that a path means
// the same however it is written.
func excluded(root string, exclude []string) ([]string, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, path := range exclude {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
			abs = filepath.Join(dir, filepath.Base(abs))
		}
		if rel, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(rel) && rel != "." {
			out = append(out, filepath.ToSlash(rel))
		}
	}
	return out, nil
}

// localFS is a directory of the user as BuildKit sees it: without the given paths, and without what runs of this program leave
// behind, wherever it is.
func localFS(dir string, exclude []string) (fsutil.FS, error) {
	fs, err := fsutil.NewFS(dir)
	if err != nil {
		return nil, err
	}
	hidden, err := excluded(dir, exclude)
	if err != nil {
		return nil, err
	}
	return fsutil.NewFilterFS(fs, &fsutil.FilterOpt{Map: func(path string, st *types.Stat) fsutil.MapResult {
		path = filepath.ToSlash(path)
		switch {
		case slices.Contains(hidden, path), strings.HasPrefix(filepath.Base(path), workPrefix), st.IsDir() && isEvidence(filepath.Join(dir, path)):
			if st.IsDir() {
				return fsutil.MapResultSkipDir
			}
			return fsutil.MapResultExclude
		case !st.IsDir() && slices.Contains([]string{"", ".key", ".pem"}, filepath.Ext(path)) && isSigningKey(filepath.Join(dir, path)):
			return fsutil.MapResultExclude
		}
		return fsutil.MapResultKeep
	}})
}

// isSigningKey reports whether a file is a private key in cosign's format: no image needs one.
func isSigningKey(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 64)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	text := string(head[:n])
	return strings.HasPrefix(text, "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY") || strings.HasPrefix(text, "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY")
}

// isEvidence reports whether a directory is the evidence of a run: an image layout with a decision beside it.
func isEvidence(dir string) bool {
	for _, name := range []string{"oci-layout", "evidence/decision.json"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}
