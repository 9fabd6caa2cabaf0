package attest_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/sealyard/sealyard/attest"
)

// R39: who signs with a certificate takes a step at the time that the bundle proves, long after the certificate expired; whom the
// layout names by subject must also be whom the verifier trusts.
func TestLayoutKeyless(t *testing.T) {
	s := newSigstore(t)
	index := "sha256:" + strings.Repeat("a", 64)
	st := must(attest.Link(attest.StepFacts{Name: "build", Products: []attest.Artifact{{Name: "image/index", Digests: map[string]string{"sha256": index[7:]}}}}))(t)
	expired := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = since(100*time.Second), since(20*time.Second) }
	s.at(since(time.Minute))
	bundle := s.signedBy(t, st, claims(), expired)
	s.at(time.Now())
	late := s.signedBy(t, st, claims(), expired) // signed when the certificate had expired already
	wide := s.roots(t, func(f *root.FulcioCertificateAuthority, a *root.SigstoreTimestampingAuthority) {
		f.ValidityPeriodStart, a.ValidityPeriodStart = since(24*time.Hour), since(24*time.Hour)
	})
	private, public, err := attest.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	owner := must(attest.NewKey(private, nil))(t)
	layout := func(constraint string) (*attest.Layout, error) {
		doc := fmt.Sprintf(`{"signed":{"_type":"layout","expires":"2099-01-01T00:00:00Z","readme":"","keys":{},"inspect":[],"steps":[{"_type":"step","name":"build",
			"pubkeys":[],"cert_constraints":[%s],"expected_command":[],"threshold":1,"expected_materials":[["DISALLOW","*"]],
			"expected_products":[["REQUIRE","image/index"],["CREATE","image/index"],["DISALLOW","*"]]}]},"signatures":[]}`, constraint)
		signed, err := attest.SignLayout(t.Context(), attest.File{Name: "a.layout", Data: []byte(doc)}, owner)
		if err != nil {
			return nil, err
		}
		return attest.LoadLayout(attest.File{Name: "a.layout", Data: signed}, []attest.File{{Name: "owner.pub", Data: public}})
	}
	uri := func(u string) string {
		return `{"common_name":"","dns_names":[],"emails":[],"organizations":[],"roots":["*"],"uris":["` + u + `"]}`
	}
	for name, c := range map[string]struct {
		constraint, issuer string
		bundle             []byte
		reads, holds       bool
	}{
		"right":            {uri(workflowSAN), githubIssuer, bundle, true, true},
		"one of two":       {uri("https://github.com/acme/other/x@y") + "," + uri(workflowSAN), githubIssuer, bundle, true, true},
		"too late":         {uri(workflowSAN), githubIssuer, late, false, false},
		"another workflow": {uri(workflowSAN + "x"), githubIssuer, bundle, true, false},
		"another issuer":   {uri(workflowSAN), "https://issuer.example", bundle, false, false},
	} {
		l := must(layout(c.constraint))(t)
		v, err := l.Trust(trustIn(t, wide, exactly(workflowSAN, c.issuer))).Verify(c.bundle, index)
		if (err == nil) != c.reads {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var links []attest.Verified
		if err == nil {
			links = append(links, v)
		}
		if _, err := l.Check(links, time.Now()); (err == nil) != c.holds || err != nil && !errors.Is(err, attest.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, constraint := range map[string]string{
		"anybody":      uri("*"),
		"nobody":       strings.Replace(uri("x"), `["x"]`, `[]`, 1),
		"two subjects": uri(`a","b`),
		"name":         strings.Replace(uri("x"), `"common_name":""`, `"common_name":"n"`, 1),
		"organization": strings.Replace(uri("x"), `"organizations":[]`, `"organizations":["o"]`, 1),
		"own root":     strings.Replace(uri("x"), `"roots":["*"]`, `"roots":["r"]`, 1),
	} {
		if _, err := layout(constraint); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}
