package action

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
)

// parcel is a sealed image on its way to its tags.
type parcel struct {
	dir    *oci.Dir
	image  oci.Image
	tags   []string
	trust  *attest.Trust // whose seal it must bear on arrival
	sealed string        // digest of the statement that binds the decision
	mixed  bool          // may lie where the other kind of signer has been
}

// firsts are the first tag of each repository among many.
func firsts(tags []string) ([]oci.Reference, error) {
	var out []oci.Reference
	for _, tag := range tags {
		ref, err := oci.ParseReference(tag)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(other oci.Reference) bool { return other.Repository == ref.Repository }) {
			out = append(out, ref)
		}
	}
	return out, nil
}

// send pushes by digest to every repository, verifies what each of them now serves, and only then moves the tags. What is there already
// is not sent again, so a parcel can be sent until it has arrived.
func (p parcel) send(ctx context.Context, remote *oci.Remote) error {
	refs, err := firsts(p.tags)
	if err != nil {
		return err
	}
	repos := make([]*oci.Repository, len(refs))
	for i, ref := range refs { // all, before anything is sent to the first
		if repos[i], err = remote.Repository(ref.Repository + "@" + p.image.Digest); err != nil {
			return err
		}
		if p.mixed {
			continue
		}
		if err := unmixed(ctx, p.image, repos[i], p.dir); err != nil {
			return fmt.Errorf("%s: %w", ref.Repository, err)
		}
	}
	for i, ref := range refs {
		if err := remote.Push(ctx, p.dir, p.image, ref.Repository); err != nil {
			return advise(err, "no tag was moved; sealyard publish sends the evidence again, without what has arrived")
		}
		if err := p.audit(ctx, repos[i], ""); err != nil {
			return fmt.Errorf("%s: %w", ref.Repository, err)
		}
	}
	if err := remote.Tag(ctx, p.image, p.tags); err != nil {
		return advise(err, "sealyard publish moves the tags again")
	}
	return nil
}

// audit runs the auditor's verification and insists on the decision that was sealed.
func (p parcel) audit(ctx context.Context, store oci.Store, ref string) error {
	u, err := auditor{store: store, trust: p.trust}.unseal(ctx, ref)
	if err != nil {
		return fmt.Errorf("verify what was sealed: %w", err)
	}
	if !u.decision.Allowed {
		return fmt.Errorf("verify what was sealed: the auditor's decision is another one: %s", messages(u.decision))
	}
	if !slices.ContainsFunc(u.verified, func(v attest.Verified) bool { return v.Digest() == p.sealed }) {
		return errors.New("verify what was sealed: the decision of this run is not there")
	}
	return nil
}

// parcel is what this run sealed.
func (g *gate) parcel() parcel {
	return parcel{g.dir, g.image, g.tags, g.trusted, g.sealed, g.in.on("mixed-signers")}
}

// publish is the last step of a run.
func (g *gate) publish(ctx context.Context) (string, error) {
	remote, err := g.remote()
	if err != nil {
		return "", err
	}
	defer remote.Close()
	if err := g.parcel().send(ctx, remote); err != nil {
		return "", err
	}
	g.report.Published = g.tags
	g.report.VerifyHint = g.verifyHint(g.tags[0])
	return strings.Join(g.tags, ", "), nil
}

// runPublish publishes the evidence of an earlier run: one that did not get that far, or to further places.
func runPublish(ctx context.Context, env Env, in values, target string) error {
	s := newSession(env, in, "publish")
	return s.finish(s.deliver(ctx, target))
}

// deliver verifies a directory as an auditor does and, when the decision is allow, publishes it.
func (s *session) deliver(ctx context.Context, target string) error {
	tags, err := s.references()
	if err != nil {
		return err
	}
	if len(tags) == 0 {
		return hint.Misuse(errors.New("publish without --tag"), "name where to publish with --tag: REGISTRY/NAME:TAG")
	}
	trust, err := s.trust(ctx)
	if err != nil {
		return err
	}
	dir, err := oci.OpenDir(target)
	if err != nil {
		return err
	}
	defer dir.Close()
	u, err := auditor{store: dir, trust: trust}.examine(ctx, s.in.one("expect-image"))
	if err == nil && s.in.one("expect-image") == "" {
		err = u.expectNames(tags)
	}
	if err != nil {
		return err
	}
	s.report.Decision, s.report.Decided, s.report.Lost = u.decision, true, u.record.lost
	if err := s.describeVerified(u.image, u.judged); err != nil || !u.decision.Allowed {
		return err
	}
	return s.step(ctx, "publish", func(ctx context.Context) (string, error) {
		forget, err := s.login(tags[0])
		if err != nil {
			return "", err
		}
		defer forget()
		remote, err := s.remote()
		if err != nil {
			return "", err
		}
		defer remote.Close()
		if err := (parcel{dir, u.image, tags, trust, u.record.self.Digest(), s.in.on("mixed-signers")}).send(ctx, remote); err != nil {
			return "", err
		}
		s.report.Published = tags
		return strings.Join(tags, ", "), nil
	})
}

// expectNames holds the name that the image was built as to each repository that it shall lie in.
func (u *unsealed) expectNames(tags []string) error {
	for _, t := range tags {
		ref, err := oci.ParseReference(t)
		if err != nil {
			return err
		}
		if err := u.expectName(ref.Repository); err != nil {
			return err
		}
	}
	return nil
}

// references checks the tags; publishing needs one.
func (s *session) references() ([]string, error) {
	tags := s.in.all("tags")
	for _, t := range tags {
		ref, err := oci.ParseReference(t)
		if err == nil && ref.Tag == "" {
			err = hint.Misuse(fmt.Errorf("tag %q names a digest", t), "write it as REGISTRY/NAME:TAG")
		}
		if err != nil {
			return nil, fmt.Errorf("--tag: %w", err)
		}
	}
	if len(tags) == 0 && s.in.on("push") {
		return nil, hint.Misuse(errors.New("--push without --tag"), "name where to publish with --tag: REGISTRY/NAME:TAG")
	}
	return tags, nil
}
