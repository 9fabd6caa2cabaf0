package action

import (
	"github.com/sealyard/sealyard/attest"
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
