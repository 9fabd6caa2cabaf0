package attest

import (
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/sealyard/sealyard/internal/hint"
)

// R49 T37: which services may learn of which repositories. Fulcio's public instance logs what it certifies, whatever else is named.
func TestDiscreet(t *testing.T) {
	t.Parallel()
	log, repo := []root.Service{{URL: "https://log.example"}}, func(v string) Workflow { return Workflow{Repository: "https://github.com/acme/widget", Visibility: v} }
	for name, c := range map[string]struct {
		k  Keyless
		w  Workflow
		ok bool
	}{
		"public":                 {Keyless{logs: log}, repo("public"), true},
		"private":                {Keyless{logs: log}, repo("private"), false},
		"internal":               {Keyless{logs: log}, repo("internal"), false},
		"unknown":                {Keyless{logs: log}, repo(""), false},
		"another word":           {Keyless{logs: log}, repo("Public"), false},
		"private, told to":       {Keyless{logs: log, tells: true}, repo("private"), true},
		"private, no log":        {Keyless{fulcio: "https://fulcio.githubapp.com"}, repo("private"), true},
		"private, public Fulcio": {Keyless{fulcio: "https://fulcio.sigstore.dev"}, repo("private"), false},
		"public, public Fulcio":  {Keyless{fulcio: "https://fulcio.sigstore.dev"}, repo("public"), true},
		"a person":               {Keyless{logs: log}, Workflow{}, true},
	} {
		if err := c.k.discreet(c.w); (err == nil) != c.ok || err != nil && !hint.IsMisuse(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
