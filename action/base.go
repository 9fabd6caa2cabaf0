package action

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/sealyard/sealyard/internal/hint"
)

// maxBaseFiles bounds how many files and directories of a commit are read: a policy has some dozens.
const maxBaseFiles = 2000

// fromBase returns what decides, a file or a directory as tar.gz, as the base of a proposed change has it. What is proposed must not
// choose what it is judged by (T13): where a job runs for a pull request or a merge queue, or for another event that strangers can
// cause, nothing that lies in the workspace is read from there. based is false when this is no such job, or the name is outside the workspace.
func (s *session) fromBase(name string, limit int64) (raw []byte, based bool, err error) {
	if !s.onGitHub() || s.proposed {
		return nil, false, nil
	}
	e, err := s.event()
	if err != nil || e.base == "" {
		return nil, false, err
	}
	path, inside, err := s.inWorkspace(name)
	if err != nil || !inside {
		return nil, false, err
	}
	raw, err = readBase(path, e.base, limit)
	if err != nil {
		err = fmt.Errorf("as commit %s has it, which %s is judged by: %w", e.base, e.name, err)
		return nil, true, advise(err, "fetch the base too (actions/checkout with fetch-depth: 0), or name what decides as oci://REGISTRY/NAME@sha256:HEX")
	}
	return raw, true, nil
}

func readBase(path, commit string, limit int64) ([]byte, error) {
	if !commitForm.MatchString(commit) {
		return nil, errors.New("the event names no base")
	}
	if len(commit) > 2*len(plumbing.ZeroHash) {
		return nil, errors.New("a repository of SHA-256 objects is not read")
	}
	t, err := openBase(path, commit)
	if err != nil {
		return nil, err
	}
	t.limit, t.left = limit, limit
	return t.read()
}

// readDeciding reads a small file that decides something: see fromBase.
func (s *session) readDeciding(name string) ([]byte, error) {
	raw, based, err := s.fromBase(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	if based {
		return raw, nil
	}
	return readFile(name)
}

// inWorkspace says where a name lies, without following links of what is proposed, and whether that is in the workspace of the job.
func (s *session) inWorkspace(name string) (path string, inside bool, err error) {
	if path, err = filepath.Abs(name); err != nil {
		return "", false, err
	}
	workspace := s.env.getenv("GITHUB_WORKSPACE")
	if workspace == "" {
		return path, true, nil
	}
	if within(workspace, path) {
		return path, true, nil
	}
	followed, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		return path, false, nil
	}
	real, err2 := filepath.EvalSymlinks(workspace)
	if err := errors.Join(err, err2); err != nil {
		return "", false, fmt.Errorf("find the workspace: %w", err)
	}
	return followed, within(real, followed), nil
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// baseTree reads one path of one commit, from the objects that git keeps. Every object is held to its name; the name of the commit comes
// from the runner.
type baseTree struct {
	objects *filesystem.Storage
	commit  plumbing.Hash
	path    string // slash-separated, in the repository
	limit   int64  // bytes of all objects together
	left    int64
	files   map[string][]byte
	seen    int
}

// openBase finds the nearest repository that a path lies in, or is the root of.
func openBase(path, commit string) (*baseTree, error) {
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Lstat(filepath.Join(dir, ".git"))
		if err == nil && info.IsDir() {
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return nil, err
			}
			objects := filesystem.NewStorage(osfs.New(filepath.Join(dir, ".git")), cache.NewObjectLRUDefault())
			return &baseTree{objects: objects, commit: plumbing.NewHash(commit), path: filepath.ToSlash(rel), files: map[string][]byte{}}, nil
		}
		if err == nil || !absent(err) || dir == filepath.Dir(dir) {
			return nil, fmt.Errorf("%q is in no git repository", path)
		}
	}
}

// absent reports whether there is nothing of a name: also when what it lies in is a file.
func absent(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// read returns the file at the path, or the directory as tar.gz.
func (t *baseTree) read() ([]byte, error) {
	raw, err := t.object(plumbing.CommitObject, t.commit)
	if err != nil {
		return nil, err
	}
	var c object.Commit
	if err := c.Decode(raw); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	entry := object.TreeEntry{Mode: filemode.Dir, Hash: c.TreeHash}
	for part := range strings.SplitSeq(t.path, "/") {
		if part == "." {
			continue // the root itself
		}
		if entry, err = t.find(entry, part); err != nil {
			return nil, err
		}
	}
	if entry.Mode != filemode.Dir {
		return t.file(entry)
	}
	if err := t.collect("", entry); err != nil {
		return nil, err
	}
	return tarGz(t.files)
}

func (t *baseTree) find(dir object.TreeEntry, name string) (object.TreeEntry, error) {
	if dir.Mode == filemode.Dir {
		entries, err := t.entries(dir)
		if err != nil {
			return object.TreeEntry{}, err
		}
		for _, e := range entries {
			if e.Name == name {
				return e, nil
			}
		}
	}
	return object.TreeEntry{}, hint.Misuse(fmt.Errorf("there is no %q", t.path), "merge the policy first; until then leave it out")
}

// collect reads every file below a directory.
func (t *baseTree) collect(at string, dir object.TreeEntry) error {
	entries, err := t.entries(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if t.seen++; t.seen > maxBaseFiles {
			return fmt.Errorf("%q has more than %d files", t.path, maxBaseFiles)
		}
		name := at + e.Name
		if e.Mode == filemode.Dir {
			if err := t.collect(name+"/", e); err != nil {
				return err
			}
			continue
		}
		if t.files[name], err = t.file(e); err != nil {
			return err
		}
	}
	return nil
}

func (t *baseTree) entries(dir object.TreeEntry) ([]object.TreeEntry, error) {
	raw, err := t.object(plumbing.TreeObject, dir.Hash)
	if err != nil {
		return nil, err
	}
	var tree object.Tree
	if err := tree.Decode(raw); err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	return tree.Entries, nil
}

func (t *baseTree) file(e object.TreeEntry) ([]byte, error) {
	if !e.Mode.IsRegular() && e.Mode != filemode.Executable {
		return nil, fmt.Errorf("%q is not a regular file", e.Name)
	}
	o, err := t.object(plumbing.BlobObject, e.Hash)
	if err != nil {
		return nil, err
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// object returns an object whose content has that name: the very bytes that were held to it.
func (t *baseTree) object(kind plumbing.ObjectType, name plumbing.Hash) (*plumbing.MemoryObject, error) {
	o, err := t.objects.EncodedObject(kind, name)
	if err != nil {
		return nil, fmt.Errorf("%s %s is not in the repository: %w", kind, name, err)
	}
	if t.left -= o.Size(); t.left < 0 {
		return nil, fmt.Errorf("%q has more than %d bytes", t.path, t.limit)
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(r, o.Size()+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("%s %s: %w", kind, name, err)
	}
	if plumbing.ComputeHash(kind, raw) != name {
		return nil, fmt.Errorf("%s %s: its content is another", kind, name)
	}
	held := &plumbing.MemoryObject{}
	held.SetType(kind)
	_, err = held.Write(raw)
	return held, err
}
