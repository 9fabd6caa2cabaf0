package attest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/attest"
)

// vectors is where sigstore-go keeps its test data: bundles of the Sigstore public instance. They are read where the module is.
func vectors(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "pkg", "testing", "data")
	if _, there := os.Stat(dir); err != nil || there != nil {
		t.Skipf("sigstore-go's test data is not there: %v %v", err, there)
	}
	return dir
}

// R41 R42 T21 T25 T26: bundles that the public instance really signed. As they are they are of v0.1, and refused; written as v0.3, the
// one with an inclusion proof is believed about its own artifact, and not with a promise alone, two signatures, a changed entry, an
// envelope of another, or one witness where two are asked for.
func TestPublicVectors(t *testing.T) {
	dir := vectors(t)
	root := must(os.ReadFile(filepath.Join(dir, "trusted-roots", "public-good.json")))(t)
	read := func(name string) []byte { return must(os.ReadFile(filepath.Join(dir, "bundles", name)))(t) }
	js := read("sigstore.js@2.0.0-provenance.sigstore.json")
	subject := subjectOf(t, js)
	who := []attest.ExpectedIdentity{{SANPattern: `https://github\.com/sigstore/sigstore-js/.*`, Issuer: githubIssuer}}
	trust := trustIn(t, root, who)
	for _, name := range []string{"sigstore.js@2.0.0-provenance.sigstore.json", "dsse.sigstore.json", "dsse-2sigs.sigstore.json", "othername.sigstore.json", "public-key-validity.sigstore.json"} {
		if _, err := trust.Verify(read(name), subject); !errors.Is(err, attest.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := renewed(t, js)
	if v, err := trust.Verify(good, subject); err != nil || v.PredicateType() != attest.PredicateProvenance {
		t.Fatalf("%v", err)
	}
	if _, err := trust.Verify(good, "sha256:"+strings.Repeat("a", 64)); !errors.Is(err, attest.ErrUntrusted) {
		t.Errorf("about another artifact: %v", err)
	}
	for name, c := range map[string]struct {
		bundle []byte
		want   string
	}{
		"two signatures": {edit(t, good, func(b *protobundle.Bundle) {
			e := b.GetDsseEnvelope()
			e.Signatures = append(e.Signatures, e.Signatures[0])
		}), "2 signatures, not 1"},
		"two signers": {renewed(t, read("dsse-2sigs.sigstore.json")), ""},
		"entry body": {edit(t, good, func(b *protobundle.Bundle) {
			e := b.VerificationMaterial.TlogEntries[0]
			e.CanonicalizedBody = damage(e.CanonicalizedBody)
		}), ""},
		"promise": {edit(t, good, func(b *protobundle.Bundle) {
			p := b.VerificationMaterial.TlogEntries[0].InclusionPromise
			p.SignedEntryTimestamp = damage(p.SignedEntryTimestamp)
		}), ""},
		"promise alone": {edit(t, good, func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries[0].InclusionProof = nil }), "without inclusion proof"},
		"signed later":  {edit(t, good, func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries[0].IntegratedTime += 3600 }), ""},
		"another's envelope": {edit(t, good, func(b *protobundle.Bundle) {
			edit(t, renewed(t, read("dsse.sigstore.json")), func(o *protobundle.Bundle) { b.Content = o.Content })
		}), ""},
	} {
		if _, err := trust.Verify(c.bundle, subject); !errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	scaffolding := must(os.ReadFile(filepath.Join(dir, "trusted-roots", "scaffolding.json")))(t)
	if _, err := trustIn(t, scaffolding, who).Verify(good, subject); !errors.Is(err, attest.ErrUntrusted) {
		t.Errorf("under the root of another instance: %v", err)
	}
}

// renewed is an older bundle written as v0.3. What was signed stays the same.
func renewed(t *testing.T, old []byte) []byte {
	t.Helper()
	return edit(t, old, func(b *protobundle.Bundle) {
		b.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
		leaf := b.VerificationMaterial.GetX509CertificateChain().GetCertificates()[0]
		b.VerificationMaterial.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: leaf.RawBytes}}
	})
}

// subjectOf is what the statement in a bundle is about.
func subjectOf(t *testing.T, bundle []byte) string {
	t.Helper()
	var b protobundle.Bundle
	if err := protojson.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	var st struct {
		Subject []struct{ Digest map[string]string }
	}
	if err := json.Unmarshal(b.GetDsseEnvelope().GetPayload(), &st); err != nil {
		t.Fatal(err)
	}
	return "sha512:" + st.Subject[0].Digest["sha512"]
}

// T19 T28: a bundle of 50 MB is refused before anything of it is read.
func TestHugeBundle(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	trust := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer))
	good := s.signedBy(t, st, claims(), nil)
	huge := append(bytes.Clone(good), bytes.Repeat([]byte(" "), 50_000_000)...)
	began := time.Now()
	if _, err := trust.Verify(huge, st.Subjects()[0]); !errors.Is(err, attest.ErrMalformed) || !strings.Contains(err.Error(), "at most 10000000 are read") {
		t.Errorf("50 MB: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %s", took)
	}
}
