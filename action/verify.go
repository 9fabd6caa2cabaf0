package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// maxIgnored is how many of the bundles that do not count are told one by one: anyone can attach any number.
const maxIgnored = 3

// runVerify checks the evidence of an image and decides again, or what a file of bundles proves.
func runVerify(ctx context.Context, env Env, in values, target string) error {
	s := newSession(env, in, "verify")
	s.log = io.Discard
	file, artifact, err := s.bundleFile(target)
	if err != nil {
		return err
	}
	if file != "" {
		return s.verifyBundles(ctx, file, artifact)
	}
	return s.finish(s.verify(ctx, target))
}

func (s *session) verify(ctx context.Context, target string) error {
	trust, err := s.trust()
	if err != nil {
		return err
	}
	var own []*policy.Bundle
	if len(s.in.all("policy")) > 0 || s.in.one("policy-data") != "" {
		if own, err = s.policies(ctx, nil); err != nil {
			return err
		}
	}
	store, done, err := s.open(ctx, target)
	if err != nil {
		return err
	}
	defer done()
	u, err := auditor{store: store, trust: trust, own: own}.examine(ctx, s.in.one("expect-image"))
	if err != nil {
		return err
	}
	s.report.Decision, s.report.Decided = u.decision, true
	for i, r := range u.rejected {
		if i == maxIgnored {
			fmt.Fprintf(s.env.Stderr, "ignored: %d more\n", len(u.rejected)-i)
			break
		}
		fmt.Fprintf(s.env.Stderr, "ignored: %s: %s\n", r.Digest, report.Clean(r.Reason))
	}
	return s.describeVerified(u.image, u.judged)
}

// examine is all that is verified of an image: its evidence, every byte of it where it lies on disk, and the name it was built
// as. expect is that name; "" is the repository it lies in.
func (a auditor) examine(ctx context.Context, expect string) (unsealed, error) {
	checked := make(chan error, 1) // reads every byte: beside the verification, which reads few
	go func() {
		dir, ok := a.store.(*oci.Dir)
		if !ok {
			checked <- nil
			return
		}
		checked <- dir.Check(ctx)
	}()
	u, err := a.unseal(ctx, "")
	if whole := <-checked; whole != nil {
		return u, whole
	}
	if err != nil {
		return u, err
	}
	if repo, ok := a.store.(*oci.Repository); ok && expect == "" {
		expect = repo.Name()
	}
	return u, u.expectName(expect)
}

// expectName holds the name that the image was built as, which its provenance states, to the one that was asked for: whoever can
// write to a repository could otherwise put another good image there (T8).
func (u *unsealed) expectName(want string) error {
	if want == "" || len(u.judged) == 0 {
		return nil
	}
	expected, err := oci.ParseReference(want)
	if err != nil {
		return fmt.Errorf("input expect-image: %w", err)
	}
	names, err := builtAs(u.judged)
	if err != nil {
		return err
	}
	if !slices.Contains(names, expected.Repository) {
		u.decision = broken(u.decision, fmt.Sprintf("the image was built as %q, not as %q; for a mirror, name the original with expect-image", names, expected.Repository), nil)
	}
	return nil
}

// open finds the store that a target names: a directory, a tar, or a reference in a registry.
func (s *session) open(ctx context.Context, target string) (oci.Store, func(), error) {
	info, err := os.Stat(target)
	switch {
	case err == nil && info.IsDir():
		d, err := oci.OpenDir(target)
		if err != nil {
			return nil, nil, err
		}
		return d, func() { d.Close() }, nil
	case err == nil:
		return s.openArchive(ctx, target)
	case !errors.Is(err, os.ErrNotExist):
		return nil, nil, hint.Misuse(fmt.Errorf("open %q: %w", target, err), "name a directory, a tar or an image reference")
	}
	if strings.HasPrefix(target, ".") || strings.HasPrefix(target, "/") {
		return nil, nil, hint.Misuse(fmt.Errorf("no file or directory %q", target), "name a directory, a tar or an image reference")
	}
	forget, err := s.login(target)
	if err != nil {
		return nil, nil, err
	}
	remote, err := s.remote()
	if err != nil {
		forget()
		return nil, nil, err
	}
	repo, err := remote.Repository(target)
	if err != nil {
		forget()
		return nil, nil, err
	}
	return repo, func() { remote.Close(); forget() }, nil
}

func (s *session) openArchive(ctx context.Context, file string) (oci.Store, func(), error) {
	scratch, err := os.MkdirTemp(s.env.getenv("TMPDIR"), "sealyard-")
	if err != nil {
		return nil, nil, fmt.Errorf("unpack %q: %w", file, err)
	}
	remove := func() { os.RemoveAll(scratch) }
	d, err := oci.OpenArchive(ctx, file, scratch)
	if err != nil {
		remove()
		return nil, nil, err
	}
	return d, func() { d.Close(); remove() }, nil
}

// runFetch brings an image and everything attached to it to a directory.
func runFetch(ctx context.Context, env Env, in values, ref, dir string) error {
	s := newSession(env, in, "fetch")
	store, done, err := s.open(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	img, err := oci.Fetch(ctx, store, "", dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s %s\n", img.Digest, dir)
	return nil
}

// inspection is what inspect shows. Nothing in it is verified.
type inspection struct {
	Digest    string              `json:"digest"`
	MediaType string              `json:"mediaType"`
	Platforms []inspectedPart     `json:"platforms"`
	Attached  []inspectedReferrer `json:"attached"`
}

type inspectedPart struct {
	Platform string              `json:"platform"`
	Digest   string              `json:"digest"`
	Size     int64               `json:"size"` // compressed bytes of all layers
	Attached []inspectedReferrer `json:"attached"`
}

type inspectedReferrer struct {
	Type      string `json:"type"`
	Digest    string `json:"digest"`
	Predicate string `json:"predicate"` // what its annotation says it claims
}

// runInspect shows what an image is and what is attached to it, without believing any of it.
func runInspect(ctx context.Context, env Env, in values, target string) error {
	s := newSession(env, in, "inspect")
	store, done, err := s.open(ctx, target)
	if err != nil {
		return err
	}
	defer done()
	img, err := store.Resolve(ctx, "")
	if err != nil {
		return err
	}
	out := inspection{Digest: img.Digest, MediaType: img.MediaType}
	if out.Attached, err = referrers(ctx, store, img.Digest); err != nil {
		return err
	}
	for _, p := range img.Platforms {
		part := inspectedPart{Platform: p.Platform, Digest: p.Digest, Size: layerBytes(p)}
		if p.Digest != img.Digest {
			if part.Attached, err = referrers(ctx, store, p.Digest); err != nil {
				return err
			}
		}
		out.Platforms = append(out.Platforms, part)
	}
	if in.one("format") == "json" {
		enc := json.NewEncoder(env.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	return out.tree(env.Stdout)
}

func referrers(ctx context.Context, store oci.Store, digest string) ([]inspectedReferrer, error) {
	attached, err := store.Attached(ctx, digest, "")
	if err != nil {
		return nil, err
	}
	out := []inspectedReferrer{}
	for _, a := range attached {
		out = append(out, inspectedReferrer{Type: a.Type, Digest: a.Digest, Predicate: a.Annotations["dev.sigstore.bundle.predicateType"]})
	}
	return out, nil
}

// tree writes an inspection for people.
func (i inspection) tree(w io.Writer) error {
	p := &printer{w: w}
	p.line("", "image %s", i.Digest)
	p.referrers("  ", i.Attached)
	for _, part := range i.Platforms {
		p.line("  ", "%s %s, %d bytes", part.Platform, part.Digest, part.Size)
		p.referrers("    ", part.Attached)
	}
	p.line("", "nothing above is verified: use sealyard verify")
	return p.err
}

// printer writes lines until one fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(indent, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, indent+report.Clean(fmt.Sprintf(format, args...)))
	}
}

func (p *printer) referrers(indent string, all []inspectedReferrer) {
	for _, a := range all {
		what := a.Type
		if a.Predicate != "" {
			what = a.Predicate
		}
		p.line(indent, "- %s %s", what, a.Digest)
	}
}
