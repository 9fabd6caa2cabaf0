package action

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
)

// links says that the steps of this run were taken, for whoever holds the image to an in-toto layout. They are not judged, and made
// after the decision: the last of them names it.
func (g *gate) links(decision attest.Statement) ([]attest.Statement, error) {
	r := attest.Run{Image: wholeImage(g.image), Database: g.scanned.DB.Digest, Statements: g.statements, Decision: decision}
	if g.built.Source.Clean || g.built.Source.Verified {
		r.Commit = g.built.Source.Revision
	}
	for _, m := range g.built.Materials {
		r.Materials = append(r.Materials, attest.Material{URI: m.URI, Digests: m.Digests})
	}
	for _, b := range g.policies {
		r.Policies = append(r.Policies, attest.Reference{Name: b.Name(), Digest: b.Digest()})
	}
	return attest.Links(r)
}

// heldTo is the layout that an image is held to.
type heldTo struct {
	layout  *attest.Layout
	refused error // why the layout itself is not to be believed; nil when it is
}

// layout reads the layout that an input names; without one it returns nil.
func (s *session) layout() (*heldTo, error) {
	name, owners := s.in.one("layout"), s.in.all("layout-key")
	if name == "" && len(owners) == 0 {
		return nil, nil
	}
	if name == "" || len(owners) == 0 {
		return nil, hint.Misuse(errors.New("a layout without its owner's key, or a key without layout"), "give both: --layout and --layout-key")
	}
	raw, err := s.readDeciding(name)
	if err != nil {
		return nil, err
	}
	keys, err := files(owners, s.readDeciding)
	if err != nil {
		return nil, err
	}
	l, err := attest.LoadLayout(attest.File{Name: name, Data: raw}, keys)
	if err != nil && !errors.Is(err, attest.ErrUntrusted) {
		return nil, err
	}
	return &heldTo{layout: l, refused: err}, nil
}

func files(names []string, read func(name string) ([]byte, error)) ([]attest.File, error) {
	var out []attest.File
	for _, name := range names {
		raw, err := read(name)
		if err != nil {
			return nil, err
		}
		out = append(out, attest.File{Name: name, Data: raw})
	}
	return out, nil
}

// hold denies an image that was not made as the layout says. Links are looked for at the image as a whole.
func (h *heldTo) hold(ctx context.Context, s *session, a auditor, u *unsealed) error {
	if h.refused != nil {
		u.decision = unlike(u.decision, h.refused)
		return nil
	}
	attached, err := a.store.Attached(ctx, u.image.Digest, typeBundle)
	if err != nil {
		return err
	}
	trust := h.layout.Trust(a.trust)
	var links []attest.Verified
	for _, b := range attached {
		// What does not verify is no link, and rejected by unseal already, unless only the layout trusts its signer.
		if v, err := verifyOne(trust, b, u.image.Digest); err == nil && v.PredicateType() == attest.PredicateLink {
			links = append(links, v)
		}
	}
	warnings, err := h.layout.Check(links, s.now)
	if err != nil {
		u.decision = unlike(u.decision, err)
	}
	for _, w := range warnings {
		fmt.Fprintf(s.env.Stderr, "layout: %s\n", report.Clean(w))
	}
	return nil
}

// unlike denies because the image was not made as the layout says, whatever the policy says.
func unlike(d policy.Decision, why error) policy.Decision {
	d.Allowed, d.Levels = false, nil
	d.Denials = append(slices.Clone(d.Denials), policy.Finding{
		Rule: layoutRule, Bundle: sealBundle, Title: "The image was not made as the layout says", Severity: policy.SeverityCritical, Message: why.Error(),
		Solution: "build it with --links from a clean git work tree, whose commit is its source/commit, by those whom the layout names; or have its owners sign a layout that fits",
	})
	return d
}
