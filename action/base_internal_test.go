package action

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// committed makes a repository of one file and returns its commit.
func committed(t *testing.T, dir, file string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Add(file); err != nil {
		t.Fatal(err)
	}
	hash, err := tree.Commit("one file", &git.CommitOptions{Author: &object.Signature{Name: "a", When: time.Unix(0, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

// T13: what decides is read from the nearest repository, which the path may be the root of, and a file in it may be gone.
func TestNearestRepository(t *testing.T) {
	outer := t.TempDir()
	inner := filepath.Join(outer, "policies")
	outerCommit, innerCommit := committed(t, outer, "a.yaml"), committed(t, inner, "b.yaml")
	for path, commit := range map[string]string{outer: outerCommit, inner: innerCommit, filepath.Join(outer, "a.yaml"): outerCommit, filepath.Join(inner, "b.yaml"): innerCommit} {
		if raw, err := readBase(path, commit, 1<<20); err != nil || len(raw) == 0 {
			t.Errorf("%s: %d bytes, %v", path, len(raw), err)
		}
	}
	if err := os.Remove(filepath.Join(inner, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	if raw, err := readBase(filepath.Join(inner, "b.yaml"), innerCommit, 1<<20); err != nil || string(raw) != "b.yaml" {
		t.Errorf("a file that was removed: %q, %v", raw, err)
	}
	if _, err := readBase(filepath.Join(inner, "b.yaml"), outerCommit, 1<<20); err == nil {
		t.Error("the commit of another repository was read")
	}
}
