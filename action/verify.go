package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
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
	a, layout, err := s.standards(ctx)
	if err != nil {
		return err
	}
	db, err := s.databaseOfToday()
	if err != nil {
		return err
	}
	runs, err := s.manifests(ctx)
	if err != nil {
		return err
	}
	if db != nil {
		defer db.Close()
	}
	var done func()
	if a.store, done, err = s.open(ctx, target); err != nil {
		return err
	}
	defer done()
	summary, err := s.summarizer(ctx, target, a.store)
	if err != nil {
		return err
	}
	u, err := a.examine(ctx, s.in.one("expect-image"))
	if err != nil {
		return err
	}
	if layout != nil {
		if err := layout.hold(ctx, s, a, &u); err != nil {
			return err
		}
	}
	if u.record.time.IsZero() && !u.decision.Allowed {
		u.explain(ctx, a.store)
	}
	s.report.Decision, s.report.Decided, s.report.Lost = u.decision, true, u.record.lost
	if summary != nil {
		if err := summary.write(ctx, u, a.store, s.now); err != nil {
			return err
		}
	}
	s.tellIgnored(u.rejected)
	whole := !u.record.time.IsZero() && !sealBroken(u.decision)
	if (db != nil || runs != nil) && whole {
		return s.today(ctx, u, a.let, db, runs)
	}
	if len(a.own) > 0 && whole {
		s.report.Comparison = compared(u.record.decision, u.decision, false)
	}
	return s.describeVerified(u.image, u.judged)
}

// ownPolicy reports whether an image is to be held to other policies than the recorded ones.
func (s *session) ownPolicy() bool {
	return slices.ContainsFunc([]string{"policy", "policy-data", "repository-policy", "policy-key", "policy-identity", "policy-issuer", "policy-min-revision"},
		func(name string) bool { return len(s.in.all(name)) > 0 })
}

// standards are whom to believe and what to hold an image to; the auditor has no store yet, and the layout is nil when none is given.
func (s *session) standards(ctx context.Context) (a auditor, layout *heldTo, err error) {
	if a.trust, err = s.trust(ctx); err != nil {
		return a, nil, err
	}
	if s.ownPolicy() {
		if a.own, err = s.policies(ctx, nil); err != nil {
			return a, nil, err
		}
	}
	if a.let, err = s.ownExceptions(ctx, a.own); err != nil {
		return a, nil, err
	}
	layout, err = s.layout()
	return a, layout, err
}

// tellIgnored names bundles that do not count, and why.
func (s *session) tellIgnored(all []rejection) {
	for i, r := range all {
		if i == maxIgnored {
			fmt.Fprintf(s.env.Stderr, "ignored: %d more\n", len(all)-i)
			break
		}
		fmt.Fprintf(s.env.Stderr, "ignored: %s: %s\n", r.Digest, report.Clean(r.Reason))
	}
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
		return fmt.Errorf("--expect-image: %w", err)
	}
	names, err := builtAs(u.judged)
	if err != nil {
		return err
	}
	if !slices.Contains(names, expected.Repository) {
		u.decision = broken(u.decision, fmt.Sprintf("the image was built as %q, not as %q", names, expected.Repository), nil)
		u.decision.Denials[len(u.decision.Denials)-1].Solution = "if this is a mirror that you trust to have the image under another name, name the original with --expect-image; else do not use it"
	}
	return nil
}

// explain adds to a denial for want of any decision what there is instead, which people take for evidence and which is none. It
// only explains: where the look itself fails, nothing is added.
func (u *unsealed) explain(ctx context.Context, store oci.Store) {
	found, err := unsigned(ctx, store, u.image)
	if err != nil || len(found) == 0 || len(u.decision.Denials) == 0 {
		return
	}
	buildkit := 0
	for _, f := range found {
		if f.Kind == kindBuildKit {
			buildkit++
		}
	}
	var parts []string
	if buildkit > 0 {
		parts = append(parts, report.Plural(buildkit, "unsigned BuildKit attestation"))
	}
	if legacy := len(found) - buildkit; legacy > 0 {
		parts = append(parts, report.Plural(legacy, "legacy cosign attachment"))
	}
	u.decision.Denials = slices.Clone(u.decision.Denials)
	u.decision.Denials[0].Message += "; there are " + strings.Join(parts, " and ") + ", which prove nothing here"
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
	if local(target) {
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
	if err := fetched(dir); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s %s\n", img.Digest, dir)
	return nil
}
