package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/internal/hint"
)

// Push sends the image in d, and every referrer that d holds of it and of its manifests, to a repository: blobs side
// by side, then manifests by their digests. No tag moves but the fallback tags that list referrers where the
// registry has no API for them. Then each manifest and referrer is read back and compared, so that when Push returns
// nil they are there, byte for byte, and can be found (spec R55, R96; threat T8). What is there already is not sent
// again, and no referrer there is removed or replaced (R63).
//
// repo is a reference whose tag or digest, if it has one, does not count.
func (r *Remote) Push(ctx context.Context, d *Dir, img Image, repo string) error {
	p, err := r.Repository(repo)
	if err != nil {
		return err
	}
	main, refs, err := parcel(ctx, d, img)
	if err != nil {
		return err
	}
	s := sender{p: p, d: d}
	blobs := slices.Clone(main.blobs)
	for _, ref := range refs {
		blobs = append(blobs, ref.blobs...)
	}
	if err := s.blobs(ctx, blobs); err != nil {
		return err
	}
	if err := s.manifests(ctx, main.nodes); err != nil {
		return err
	}
	if err := s.referrers(ctx, main.nodes, refs); err != nil {
		return err
	}
	return s.readBack(ctx, main.nodes, refs)
}

// parcel collects what is to be sent: the image's tree, and that of each referrer.
func parcel(ctx context.Context, d *Dir, img Image) (main tree, refs []tree, err error) {
	main, err = walk(ctx, d, descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: img.Size})
	if err != nil {
		return tree{}, nil, err
	}
	if !bytes.Equal(main.root().raw, img.Manifest) {
		return tree{}, nil, fmt.Errorf("image %s: %w: its manifest changed", img.Digest, ErrCorrupt)
	}
	for _, n := range main.nodes {
		found, err := referrersOf(ctx, d, n.Digest)
		if err != nil {
			return tree{}, nil, err
		}
		for _, f := range found {
			t, err := walk(ctx, d, f.descriptor)
			if err != nil {
				return tree{}, nil, err
			}
			refs = append(refs, t)
		}
	}
	return main, refs, nil
}

// root is the node that the tree was walked from.
func (t tree) root() node { return t.nodes[len(t.nodes)-1] }

// sender sends one image to one repository.
type sender struct {
	p *Repository
	d *Dir
}

// blobs sends the blobs side by side, each once.
func (s sender) blobs(ctx context.Context, list []descriptor) error {
	slices.SortFunc(list, func(a, b descriptor) int { return strings.Compare(a.Digest, b.Digest) })
	list = slices.CompactFunc(list, func(a, b descriptor) bool { return a.Digest == b.Digest })
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.p.jobs())
	for _, b := range list {
		g.Go(func() error {
			err := s.p.upload(gctx, b, func() (io.ReadCloser, error) {
				f, err := s.d.open(b)
				if err != nil {
					return nil, err
				}
				return readCloser{s.p.r.progress(b, newVerifier(f, b)), f}, nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", blobFile(b.Digest), err)
			}
			return nil
		})
	}
	return g.Wait()
}

type readCloser struct {
	io.Reader
	io.Closer
}

// manifests sends an image's manifests, children first: a registry may refuse an index whose manifests it lacks.
func (s sender) manifests(ctx context.Context, nodes []node) error {
	var indexes []node
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.p.jobs())
	for _, n := range nodes {
		if isIndex(n.MediaType) {
			indexes = append(indexes, n)
			continue
		}
		g.Go(func() error { return s.manifest(gctx, n) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, n := range indexes {
		if err := s.manifest(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// manifest sends one manifest by its digest, unless it is there.
func (s sender) manifest(ctx context.Context, n node) error {
	there, err := s.p.exists(ctx, "manifests", n.descriptor)
	if err == nil && !there {
		_, err = s.p.put(ctx, n.Digest, n.MediaType, n.raw)
	}
	if err != nil {
		return fmt.Errorf("manifest %s: %w", n.Digest, err)
	}
	s.p.r.event(n.descriptor, n.Size)
	return nil
}

// referrers sends the referrers and makes sure that each is listed, by the registry itself or by the fallback tag.
func (s sender) referrers(ctx context.Context, nodes []node, refs []tree) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.p.jobs())
	for _, n := range nodes {
		var about []node
		for _, t := range refs {
			if t.root().doc.Subject.Digest == n.Digest {
				about = append(about, t.root())
			}
		}
		if len(about) > 0 {
			g.Go(func() error {
				if err := s.attach(gctx, n.Digest, about); err != nil {
					return fmt.Errorf("referrers of %s: %w", n.Digest, err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// attach sends the referrers of one subject.
func (s sender) attach(ctx context.Context, subject string, about []node) error {
	var unlisted []descriptor
	there, err := s.p.askReferrers(ctx, subject, "")
	api := err == nil
	if err != nil && !errors.Is(err, errNoReferrersAPI) {
		return err
	}
	for _, n := range about {
		if slices.ContainsFunc(there, func(d descriptor) bool { return d.Digest == n.Digest }) {
			s.p.r.event(n.descriptor, n.Size)
			continue
		}
		exists := false
		if !api {
			if exists, err = s.p.exists(ctx, "manifests", n.descriptor); err != nil {
				return err
			}
		}
		noted := ""
		if !exists {
			if noted, err = s.p.put(ctx, n.Digest, n.MediaType, n.raw); err != nil {
				return err
			}
		}
		if noted != subject {
			unlisted = append(unlisted, n.listing())
		}
		s.p.r.event(n.descriptor, n.Size)
	}
	if len(unlisted) == 0 {
		return nil
	}
	return s.p.addFallback(ctx, subject, unlisted)
}

// readBack reads every manifest and referrer as anyone would and compares it with what was to be sent.
func (s sender) readBack(ctx context.Context, nodes []node, refs []tree) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.p.jobs())
	all := slices.Clone(nodes)
	bySubject := map[string][]descriptor{}
	for _, t := range refs {
		all = append(all, t.root())
		subject := t.root().doc.Subject.Digest
		bySubject[subject] = append(bySubject[subject], t.root().listing())
	}
	for _, n := range all {
		g.Go(func() error {
			got, err := s.p.manifest(gctx, n.descriptor)
			if err == nil && !bytes.Equal(got, n.raw) {
				err = ErrCorrupt
			}
			if err != nil {
				return fmt.Errorf("manifest %s read back: %w", n.Digest, err)
			}
			return nil
		})
	}
	for subject, want := range bySubject {
		g.Go(func() error {
			if err := s.p.listed(gctx, subject, want); err != nil {
				return fmt.Errorf("referrers of %s read back: %w", subject, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// PartialError says that some tags name the new image and others do not. It wraps the cause.
type PartialError struct {
	Moved   []string // references that name the image now
	Unmoved []string // references that do not, or may not: the first is the one that failed
	Err     error
}

// Error implements error.
func (e *PartialError) Error() string {
	moved := "none"
	if len(e.Moved) > 0 {
		moved = strings.Join(e.Moved, ", ")
	}
	return fmt.Sprintf("tag %q: %v; tags that name the image now: %s; that do not: %s", e.Unmoved[0], e.Err, moved, strings.Join(e.Unmoved, ", "))
}

// Unwrap returns the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// Tag makes each reference name the image, which must have been pushed to its repository. It sends the very bytes
// that were pushed, so that the digest stays (threat T8). Before the first tag moves, every repository is asked
// whether it has the image, so that a registry that is gone leaves all tags alone; each tag is read back. An error
// after that is a [*PartialError], which says what state the tags are in (T39).
func (r *Remote) Tag(ctx context.Context, img Image, refs []string) error {
	var targets []*Repository
	for _, ref := range refs {
		p, err := r.Repository(ref)
		if err != nil {
			return err
		}
		parsed, err := ParseReference(ref)
		if err != nil {
			return err
		}
		if parsed.Tag == "" {
			return hint.Misuse(fmt.Errorf("%q is not a tag", ref), "write it as REGISTRY/NAME:TAG")
		}
		targets = append(targets, p)
	}
	d := descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: img.Size}
	for _, p := range targets {
		there, err := p.exists(ctx, "manifests", d)
		if err == nil && !there {
			err = fmt.Errorf("%s: %s was not pushed: %w", p.Name(), img.Digest, ErrNotFound)
		}
		if err != nil {
			return err
		}
	}
	for i, p := range targets {
		if err := p.tag(ctx, img); err != nil {
			return &PartialError{Moved: refs[:i], Unmoved: refs[i:], Err: err}
		}
	}
	return nil
}

// tag moves one tag and reads it back.
func (p *Repository) tag(ctx context.Context, img Image) error {
	id := p.ref.Identifier()
	if _, err := p.put(ctx, id, img.MediaType, img.Manifest); err != nil {
		return err
	}
	got, _, err := p.head(ctx, id)
	if err != nil {
		return err
	}
	if got.Digest != img.Digest {
		return fmt.Errorf("%w: it names %s, not %s", ErrCorrupt, got.Digest, img.Digest)
	}
	return nil
}
