package action

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
)

// Limits on what an audit is given.
const (
	maxTargets = 500_000
	maxTarget  = 4096 // bytes of one name
	maxBad     = 10   // lines that are told one by one
)

// shard is one of several parts of a list: the same target is in the same one wherever and however the list is read.
type shard struct{ i, n uint64 }

// parseShard reads i/n, as in 2/8; "" is the whole list.
func parseShard(s string) (shard, error) {
	if s == "" {
		return shard{1, 1}, nil
	}
	before, after, _ := strings.Cut(s, "/")
	i, errI := strconv.ParseUint(before, 10, 32)
	n, errN := strconv.ParseUint(after, 10, 32)
	if errI != nil || errN != nil || i < 1 || i > n {
		return shard{}, hint.Misuse(fmt.Errorf("--shard: %q", s), "write it as i/n, from 1/n to n/n: 2/8 is the second of eight parts")
	}
	return shard{i, n}, nil
}

// has reports whether a target is in this part.
func (s shard) has(target string) bool {
	sum := sha256.Sum256([]byte(target))
	return binary.BigEndian.Uint64(sum[:])%s.n == s.i-1
}

// targets are the images to audit, each once, in the order they were named.
type targets struct {
	list  []string
	seen  map[string]bool
	again int      // how often one was named before
	bad   []string // what cannot be one, and why
}

func (t *targets) add(target string) error {
	if t.seen[target] {
		t.again++
		return nil
	}
	if len(t.list) >= maxTargets {
		return hint.Misuse(fmt.Errorf("more than %d images", maxTargets), "audit them in several lists")
	}
	t.seen[target] = true
	t.list = append(t.list, target)
	return nil
}

// check refuses what names neither a file nor an image. That a file or an image is there is not asked here.
func checkTarget(target string) error {
	if len(target) > maxTarget {
		return fmt.Errorf("a name of %d bytes", len(target))
	}
	if strings.ContainsFunc(target, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q holds a control character", target)
	}
	if local(target) {
		return nil
	}
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	_, err := oci.ParseReference(target)
	return err
}

// local reports whether a target can only be a file or directory: by how it begins or, where it names no registry, how it ends.
func local(target string) bool {
	if strings.HasPrefix(target, ".") || strings.HasPrefix(target, "/") {
		return true
	}
	host, _, deep := strings.Cut(target, "/")
	if strings.ContainsAny(target, ":@") || deep && (strings.Contains(host, ".") || host == "localhost") {
		return false
	}
	end := filepath.Ext(target)
	return end != "" && !deep || slices.Contains([]string{".txt", ".json", ".jsonl", ".tar", ".gz", ".tgz"}, end)
}

// targets reads every source of images and the targets named one by one.
func (s *session) targets(ctx context.Context, remote *oci.Remote, named []string) ([]string, error) {
	t := &targets{seen: map[string]bool{}}
	for _, source := range s.in.all("images") {
		if err := s.source(ctx, remote, t, source); err != nil {
			return nil, err
		}
	}
	for _, target := range named {
		if err := checkTarget(target); err != nil {
			return nil, err
		}
		if err := t.add(target); err != nil {
			return nil, err
		}
	}
	for i, bad := range t.bad {
		if i == maxBad {
			fmt.Fprintf(s.env.Stderr, "... and %d more\n", len(t.bad)-i)
			break
		}
		fmt.Fprintln(s.env.Stderr, report.Clean(bad))
	}
	if len(t.bad) > 0 {
		return nil, hint.Misuse(fmt.Errorf("no image is named in %s", report.Plural(len(t.bad), "line")), "one image each line: a reference, a directory, or a tar; # begins a comment")
	}
	if t.again > 0 {
		fmt.Fprintf(s.env.Stderr, "named more than once: %s left out\n", report.Plural(t.again, "repetition"))
	}
	if len(t.list) == 0 {
		return nil, hint.Misuse(errors.New("no image to audit"), "name images, or a list, a directory or a repository of them with --images")
	}
	return t.list, nil
}

// source adds the images of one source: a list in a file or on standard input, a directory of images, or a repository.
func (s *session) source(ctx context.Context, remote *oci.Remote, t *targets, name string) error {
	if name == "-" {
		return t.read("standard input", s.env.Stdin)
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return t.directory(name)
	case err == nil:
		f, err := os.Open(name)
		if err != nil {
			return hint.Misuse(err, "name a file with one image each line")
		}
		defer f.Close()
		return t.read(name, f)
	case local(name) || !errors.Is(err, os.ErrNotExist):
		return hint.Misuse(fmt.Errorf("--images: %q: %w", name, errors.Unwrap(err)), "check the path, which is relative to the working directory; or name a file with one image each line, a directory of images, or a repository")
	}
	return s.repository(ctx, remote, t, name)
}

// read reads a list of one target each line.
func (t *targets) read(name string, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 2*maxTarget)
	for n := 1; lines.Scan(); n++ {
		target := strings.TrimSpace(lines.Text())
		if target == "" || strings.HasPrefix(target, "#") {
			continue
		}
		if err := checkTarget(target); err != nil {
			t.bad = append(t.bad, fmt.Sprintf("%s:%d: %v", name, n, err))
			continue
		}
		if err := t.add(target); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return hint.Misuse(fmt.Errorf("list of images %q: %w", name, err), "give a text file with one image each line")
	}
	return nil
}

// directory adds a directory that is an image, or every directory and tar in it. What looks like an image and is none is added too:
// the audit then says that it has no decision, and does not pass over it.
func (t *targets) directory(name string) error {
	if _, err := os.Lstat(filepath.Join(name, "oci-layout")); err == nil {
		return t.add(name)
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return hint.Misuse(fmt.Errorf("directory of images: %w", err), "name a directory that holds image layouts or tars")
	}
	for _, e := range entries {
		tar := slices.ContainsFunc([]string{".tar", ".tar.gz", ".tgz"}, func(end string) bool { return strings.HasSuffix(e.Name(), end) })
		if strings.HasPrefix(e.Name(), ".") || !e.IsDir() && !tar {
			continue
		}
		target := filepath.Join(name, e.Name())
		if err := checkTarget(target); err != nil {
			return hint.Misuse(err, "rename it")
		}
		if err := t.add(target); err != nil {
			return err
		}
	}
	return nil
}

// repository adds every tag of a repository, or the one image that a reference with tag or digest names.
func (s *session) repository(ctx context.Context, remote *oci.Remote, t *targets, name string) error {
	ref, err := oci.ParseReference(name)
	if err != nil {
		return err
	}
	if ref.Digest != "" || strings.Contains(name[strings.LastIndex(name, "/")+1:], ":") {
		return t.add(name)
	}
	repo, err := remote.Repository(name)
	if err != nil {
		return err
	}
	tags, left, err := repo.Tags(ctx)
	if err != nil {
		return fmt.Errorf("list the tags of %q: %w", name, err)
	}
	if left > 0 {
		fmt.Fprintf(s.env.Stderr, "left out: %s of %s for what is attached to images (sha256-...)\n", report.Plural(left, "tag"), report.Clean(name))
	}
	for _, tag := range tags {
		if err := t.add(name + ":" + tag); err != nil {
			return err
		}
	}
	return nil
}
