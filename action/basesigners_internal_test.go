package action

import (
	"testing"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

// Who is named without saying how to know them is the caller's mistake, and a workflow without a ref is that workflow at any ref.
func TestBaseSigners(t *testing.T) {
	const workflow = "https://github.com/acme/base/.github/workflows/b.yml"
	for _, bad := range []baseSigner{{Image: "*"}, {ID: workflow}, {Issuer: "https://i"}, {Key: "k", ID: workflow}, {Key: "k", Issuer: "https://i"}, {Key: "k", ID: workflow, Issuer: "https://i"}} {
		if err := bad.into(&attest.TrustOptions{}, "x"); !hint.IsMisuse(err) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for id, want := range map[string]attest.ExpectedIdentity{
		workflow:           {SANPattern: `https://github\.com/acme/base/\.github/workflows/b\.yml@.*`, Issuer: "https://i"},
		workflow + "@main": {SAN: workflow + "@main", Issuer: "https://i"},
		"ada@example.com":  {SAN: "ada@example.com", Issuer: "https://i"},
	} {
		o := attest.TrustOptions{}
		if err := (baseSigner{ID: id, Issuer: "https://i"}).into(&o, "x"); err != nil || len(o.Identities) != 1 || o.Identities[0] != want {
			t.Errorf("%s: %v %+v", id, err, o.Identities)
		}
	}
	for image, want := range map[string]bool{"ghcr.io/acme": true, "ghcr.io/acme/base": true, "ghcr.io/acme2": false, "ghcr.io": false} {
		if got := (&baseSigners{entries: []baseSigner{{Image: "ghcr.io/acme"}}}).about(image); got != want {
			t.Errorf("%s: %v", image, got)
		}
	}
	if !(&baseSigners{entries: []baseSigner{{Image: "*"}}}).about("x") {
		t.Error("* is not every image")
	}
}
