package build

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/tonistiigi/fsutil"
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

// workPattern matches the directories that runs make while they work.
const workPattern = "**/.sealyard-*"

// excluded lists, as patterns relative to root, what is no part of it.
func excluded(root string, exclude []string) []string {
	patterns := []string{workPattern, workPattern + "/**"}
	for _, dir := range exclude {
		abs, err := filepath.Abs(dir)
		if err != nil {
			continue
		}
		if rel, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(rel) && rel != "." {
			rel = filepath.ToSlash(rel)
			patterns = append(patterns, rel, rel+"/**")
		}
	}
	return patterns
}

// localFS is a directory of the user as BuildKit sees it.
func localFS(dir string, exclude []string) (fsutil.FS, error) {
	fs, err := fsutil.NewFS(dir)
	if err != nil {
		return nil, err
	}
	return fsutil.NewFilterFS(fs, &fsutil.FilterOpt{ExcludePatterns: excluded(dir, exclude)})
}
