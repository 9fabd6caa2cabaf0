package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/sealyard/sealyard/internal/hint"
)

const (
	defaultFile   = "Dockerfile"
	maxDockerfile = 1 << 20 // bytes; the largest known in the wild are a tenth of that
)

// buildContext is where the build's own files come from.
type buildContext struct {
	url  string // git URL; "" is a local context
	root string // absolute path of a local context, links resolved

	file   string // base name of the Dockerfile; for git its path in the context
	data   []byte // local: the Dockerfile
	ignore []byte // local: the .dockerignore that goes with the Dockerfile alone; nil is none
	path   string // the Dockerfile as Result shows it
}

// openContext checks context and Dockerfile of the plan and reads the latter.
func openContext(plan Plan) (buildContext, error) {
	if info, err := os.Stat(plan.Context); err == nil && info.IsDir() {
		return openLocal(plan)
	}
	if plan.Context == "" {
		return buildContext{}, hint.Misuse(errors.New("no build context"), "give a directory or a git URL")
	}
	if err := checkGitURL(plan.Context); err != nil {
		return buildContext{}, err
	}
	c := buildContext{url: plan.Context, file: plan.File}
	if c.file == "" {
		c.file = defaultFile
	}
	if !filepath.IsLocal(c.file) {
		return buildContext{}, hint.Misuse(fmt.Errorf("dockerfile %q lies outside the git context", plan.File), "give its path inside the repository")
	}
	c.path = c.file
	return c, nil
}

// checkGitURL refuses what is no git URL, and one with a password in it: it would be published with the provenance.
func checkGitURL(url string) error {
	ref, isGit, err := dfgitutil.ParseGitRef(url)
	if err != nil || !isGit || ref.IndistinguishableFromLocal {
		return hint.Misuse(fmt.Errorf("build context %q is neither a directory nor a git URL", redactURL(url)), "a git URL looks like https://host/owner/name.git#ref:subdirectory")
	}
	if hasCredentials(url) {
		return hint.Misuse(fmt.Errorf("build context %q carries credentials", redactURL(url)), "pass the token as the secret GIT_AUTH_TOKEN")
	}
	return nil
}

func openLocal(plan Plan) (buildContext, error) {
	root, err := resolve(plan.Context)
	if err != nil {
		return buildContext{}, fmt.Errorf("build context %q: %w", plan.Context, err)
	}
	file, err := findDockerfile(plan, root)
	if err != nil {
		return buildContext{}, err
	}
	yard := enclosing(root, file)
	if yard == "" {
		return buildContext{}, hint.Misuse(fmt.Errorf("dockerfile %q lies at %q, outside the context %q and its repository", plan.File, file, root), "move it into the context, or make the context the directory that holds both")
	}
	c := buildContext{root: root, file: filepath.Base(file), path: file}
	if rel, err := filepath.Rel(root, file); err == nil && filepath.IsLocal(rel) {
		c.path = filepath.ToSlash(rel)
	}
	if c.data, err = readInside(yard, file); err != nil {
		return buildContext{}, fmt.Errorf("dockerfile: %w", err)
	}
	c.ignore, err = readInside(yard, file+".dockerignore")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return buildContext{}, fmt.Errorf("dockerignore: %w", err)
	}
	return c, nil
}

// findDockerfile returns the Dockerfile's path with all links resolved.
func findDockerfile(plan Plan, root string) (string, error) {
	names := []string{plan.File}
	if plan.File == "" {
		names = []string{filepath.Join(root, defaultFile), filepath.Join(root, strings.ToLower(defaultFile))}
	}
	if strings.Contains(plan.File, "://") || plan.File == "-" {
		return "", hint.Misuse(fmt.Errorf("dockerfile %q is not a path", plan.File), "put the Dockerfile into the context, or use a git URL as context")
	}
	for _, name := range names {
		file, err := resolve(name)
		if err != nil {
			continue
		}
		info, err := os.Stat(file)
		if err != nil || !info.Mode().IsRegular() {
			return "", hint.Misuse(fmt.Errorf("dockerfile %q is not a regular file", name), "give the path of a Dockerfile")
		}
		return file, nil
	}
	return "", noDockerfile(names[0])
}

func noDockerfile(looked string) error {
	return hint.Misuse(fmt.Errorf("no Dockerfile at %q", looked), "give its path with --file, or another context")
}

func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// enclosing returns the directory that file may be read from: the context, or the git work tree that the context is
// part of. A Dockerfile anywhere else could hold what must not be shown in logs or provenance (T29).
func enclosing(root, file string) string {
	for dir := root; ; dir = filepath.Dir(dir) {
		rel, err := filepath.Rel(dir, file)
		inside := err == nil && filepath.IsLocal(rel)
		if _, err := os.Lstat(filepath.Join(dir, ".git")); inside && (err == nil || dir == root) {
			return dir
		} else if err == nil || dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// readInside reads a small regular file below root; links that lead out of root are refused by the kernel's path walk.
func readInside(root, file string) ([]byte, error) {
	rel, err := filepath.Rel(root, file)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Stat(rel)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxDockerfile {
		return nil, hint.Misuse(fmt.Errorf("%q is not a regular file of at most %d bytes", file, maxDockerfile), "check the path")
	}
	f, err := dir.Open(rel)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxDockerfile))
}

// stage writes the bytes that were read (and judged) into dir, so that exactly these are built.
func (c buildContext) stage(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, c.file), c.data, 0o600); err != nil {
		return err
	}
	if c.ignore == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, c.file+".dockerignore"), c.ignore, 0o600)
}
