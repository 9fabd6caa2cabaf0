package build

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"time"
)

const (
	gitTimeout = 10 * time.Second // a work tree with a million files takes two
	maxGitOut  = 64 << 10         // bytes
)

// workTree asks git about the repository that dir belongs to. Without git, or outside a repository, it knows nothing.
// Files that match exclude do not count.
// The answer comes from files the caller could have changed: a hint, never evidence (R13).
func workTree(ctx context.Context, git, dir string, exclude []string) Source {
	if git == "" {
		return Source{}
	}
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	revision, ok := runGit(ctx, git, dir, "rev-parse", "--verify", "HEAD")
	if !ok || !isCommit(revision) {
		return Source{}
	}
	s := Source{Revision: revision}
	status := []string{"status", "--porcelain", "--untracked-files=normal", "--ignored", "--", ".", ":(exclude,glob)**/" + workPrefix + "*/**"}
	for _, path := range exclude {
		status = append(status, ":(exclude,literal)"+path)
	}
	if changes, ok := runGit(ctx, git, dir, status...); ok {
		s.Clean = changes == ""
	}
	if url, ok := runGit(ctx, git, dir, "remote", "get-url", "origin"); ok && len(url) < maxGitOut {
		s.URI = redactURL(url)
	}
	return s
}

// runGit runs one read-only command with none of the user's or the system's settings, and without the repository's hooks. The
// repository's own settings can name programs that git runs: git itself refuses a repository that is somebody else's.
func runGit(ctx context.Context, git, dir string, args ...string) (string, bool) {
	fixed := []string{"-C", dir, "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}
	cmd := exec.CommandContext(ctx, git, append(fixed, args...)...)
	cmd.Env = []string{"PATH=" + defaultPath, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C"}
	var out bytes.Buffer
	cmd.Stdout = &limited{w: &out, left: maxGitOut}
	if err := cmd.Run(); err != nil {
		return "", false
	}
	return strings.TrimSpace(out.String()), true
}

// limited keeps the first bytes written and drops the rest.
type limited struct {
	w    *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	keep := p[:min(len(p), l.left)]
	l.left -= len(keep)
	_, _ = l.w.Write(keep)
	return len(p), nil
}
