package action

import (
	"context"
	"fmt"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

// timestampOnly lets a signature do without a log entry.
const timestampOnly = "timestamp-only"

// sign signs and attaches everything, the decision among it, and says how many statements that are. When it fails, nothing is attached.
func (g *gate) sign(ctx context.Context) (int, error) {
	d, err := g.evidence.decisionClaim(g.decision, g.report.Lost)
	if err != nil {
		return 0, err
	}
	g.sealed = d.Digest()
	all := append(g.statements, d)
	if g.in.on("links") {
		links, err := g.links(d)
		if err != nil {
			return 0, err
		}
		all = append(all, links...)
	}
	return len(all), seal(ctx, g.dir, checked{g.signer, g.trusted}, all, g.evidence)
}

// signUnlogged signs without the log, if the run may lose it, and says so in what is signed.
func (g *gate) signUnlogged(ctx context.Context, why error) (int, error) {
	k, ok := g.signer.(*attest.Keyless)
	if !ok || g.in.one("degrade") != timestampOnly {
		return 0, advise(why, "try again later, or give --degrade timestamp-only to do without the log")
	}
	k, err := k.WithoutLog()
	if err != nil {
		return 0, hint.Wrap(fmt.Errorf("%w; %w", why, err), "try again later")
	}
	fmt.Fprintf(g.log, "   %s\n", report.Clean(why.Error()))
	g.lose("timestamp only: the transparency log gave no entry, so nobody who watches it learns of these signatures")
	if err := g.views(g.stage); err != nil {
		return 0, err
	}
	g.signer, g.unlogged = k, true
	return g.sign(ctx)
}

// checked is a signer whose signatures are verified as soon as they are made. A service of Sigstore may answer with a certificate, a
// timestamp or a log entry of something else; then it is that service which fails, and not the image.
type checked struct {
	attest.Signer
	trust *attest.Trust
}

// Sign implements attest.Signer.
func (c checked) Sign(ctx context.Context, s attest.Statement) (attest.Bundle, error) {
	b, err := c.Signer.Sign(ctx, s)
	if err != nil {
		return nil, err
	}
	if _, err := c.trust.Verify(b, s.Subjects()[0]); err != nil {
		return nil, hint.Wrap(fmt.Errorf("sign %s: what was signed does not verify: %v", s.PredicateType(), err),
			"the trusted root is not that of the services in the signing config, or one of them answers wrongly")
	}
	return b, nil
}
